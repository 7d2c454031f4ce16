from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from training.synthesis.lesions import insert, real, shaped
from training.synthesis.placement import Sites
from worker.phantom.chest import Phantom, PhantomSpec, chest_phantom

SPACING = (3.0, 1.2, 1.2)


@pytest.fixture(scope="module")
def chest() -> Phantom:
    return chest_phantom(
        PhantomSpec(shape=(60, 220, 300), spacing_mm=SPACING, lesions=(), noise_hu=10.0, vessels_per_lung=0)
    )


def ball(radius_mm: float, spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    half = [int(radius_mm / size) + 2 for size in spacing]
    x, y, z = (axis * size for axis, size in zip(np.ogrid[tuple(slice(-n, n + 1) for n in half)], spacing, strict=True))
    inside: np.ndarray = x**2 + y**2 + z**2 <= radius_mm**2
    return inside


@pytest.mark.parametrize("diameter", [3.0, 8.0, 20.0, 60.0, 100.0])
def test_a_generated_lesion_has_about_the_requested_size(diameter: float) -> None:
    radii = [shaped(diameter, (1.0, 1.0, 1.0), np.random.default_rng(seed)).radius_mm for seed in range(4)]

    assert np.mean(radii) == pytest.approx(diameter / 2, rel=0.2)


def test_a_real_lesion_keeps_its_volume_and_its_texture_on_another_grid() -> None:
    mask = np.pad(ball(12.0), 6)
    hu = np.where(mask, 55, -850).astype(np.int16)

    patch = real(hu, mask, (1.0, 1.0, 1.0), (3.0, 0.7, 0.7), np.random.default_rng(2))

    assert patch.share.sum() * np.prod(patch.spacing) == pytest.approx(mask.sum(), rel=0.03)
    assert np.abs(patch.hu[patch.share > 0.5] - 55).max() < 1


@pytest.mark.parametrize("site", ["free", "edge"])
def test_an_inserted_lesion_is_at_the_requested_site(chest: Phantom, site: str) -> None:
    rng = np.random.default_rng(4)
    patch = shaped(20.0, SPACING, rng)
    place = Sites(chest.hu, SPACING).find(patch.radius_mm, site, rng)  # type: ignore[arg-type]
    assert place is not None

    inserted = insert(chest.hu, SPACING, patch, place)

    touched = (ndimage.binary_dilation(inserted.mask) & (chest.hu > -300)).sum()
    assert (touched > 0.02 * inserted.mask.sum()) == (site == "edge")
    centre = np.argwhere(inserted.mask).mean(0)
    assert np.linalg.norm((centre - place) * SPACING) < 8
    assert inserted.mask.sum() * np.prod(SPACING) > 0.4 * 4 / 3 * np.pi * 10**3


def test_denser_tissue_is_kept_and_nothing_changes_far_away(chest: Phantom) -> None:
    rng = np.random.default_rng(5)
    patch = shaped(25.0, SPACING, rng)
    place = Sites(chest.hu, SPACING).find(patch.radius_mm, "edge", rng)
    assert place is not None

    inserted = insert(chest.hu, SPACING, patch, place)

    assert (inserted.hu >= chest.hu).all()
    distance = ndimage.distance_transform_edt(~inserted.mask, sampling=SPACING)
    assert np.array_equal(inserted.hu[distance > 30], chest.hu[distance > 30])
    assert not inserted.mask[chest.hu > 0].sum() > 0.1 * inserted.mask.sum()


@pytest.mark.parametrize(("denser", "is_visible"), [(800.0, True), (150.0, True), (50.0, False)])
def test_a_lesion_is_visible_if_it_is_denser_than_the_lung_by_more_than_noise(
    chest: Phantom, denser: float, is_visible: bool
) -> None:
    patch = shaped(20.0, SPACING, np.random.default_rng(6))
    place = Sites(chest.hu, SPACING).find(patch.radius_mm, "free", np.random.default_rng(6))
    assert place is not None
    lung = float(chest.hu[insert(chest.hu, SPACING, patch, place).mask].mean())

    inserted = insert(chest.hu, SPACING, replace(patch, hu=np.full_like(patch.hu, lung + denser)), place)

    assert inserted.added_hu == pytest.approx(denser, rel=0.25)
    assert inserted.shows == is_visible


def test_a_lesion_in_denser_tissue_is_not_visible(chest: Phantom) -> None:
    patch = shaped(20.0, SPACING, np.random.default_rng(6))
    z, y, x = np.argwhere(ndimage.binary_erosion(chest.hu > 0, iterations=8))[0].tolist()

    assert not insert(chest.hu, SPACING, patch, (z, y, x)).shows
