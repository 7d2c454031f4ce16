from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage

from training.synthesis.placement import FREE_MM, Site, Sites
from worker.phantom.chest import LUNG_CENTRE_MM, Phantom, PhantomSpec, chest_phantom

SPACING = (3.0, 1.2, 1.2)
RADIUS_MM = 9.0


def chest_of(vessels: int) -> Phantom:
    return chest_phantom(
        PhantomSpec(shape=(60, 220, 300), spacing_mm=SPACING, lesions=(), noise_hu=10.0, vessels_per_lung=vessels)
    )


@pytest.fixture(scope="module")
def chest() -> Phantom:
    return chest_of(vessels=0)


@pytest.fixture(scope="module")
def sites(chest: Phantom) -> Sites:
    return Sites(chest.hu, SPACING)


def places(sites: Sites, site: Site, count: int = 40) -> list[tuple[int, int, int]]:
    rng = np.random.default_rng(3)
    found = [sites.find(RADIUS_MM, site, rng) for _ in range(count)]
    assert None not in found
    return [place for place in found if place is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tissue:
    """Of each voxel, the distance (mm) from tissue and the column of the nearest tissue."""

    depth_mm: np.ndarray
    column: np.ndarray

    def depths(self, found: list[tuple[int, int, int]]) -> np.ndarray:
        return np.array([self.depth_mm[place] for place in found])


def tissue_of(chest: Phantom) -> Tissue:
    depth_mm, nearest = ndimage.distance_transform_edt(chest.hu < -400, sampling=SPACING, return_indices=True)
    return Tissue(depth_mm=depth_mm, column=nearest[2])


@pytest.fixture(scope="module")
def tissue(chest: Phantom) -> Tissue:
    return tissue_of(chest)


def test_a_free_position_has_room_for_the_lesion(tissue: Tissue, sites: Sites) -> None:
    assert (tissue.depths(places(sites, "free")) > RADIUS_MM + FREE_MM - max(SPACING)).all()


@pytest.mark.parametrize("site", ["edge", "wall", "mediastinum"])
def test_an_attached_lesion_reaches_tissue_and_is_mostly_in_the_lung(tissue: Tissue, sites: Sites, site: Site) -> None:
    found = tissue.depths(places(sites, site))

    assert (found < RADIUS_MM).all()
    assert (found > 0).all()


def test_the_mediastinum_lies_between_the_lungs_and_the_wall_around_them(
    chest: Phantom, tissue: Tissue, sites: Sites
) -> None:
    def sideways_mm(site: Site) -> np.ndarray:
        """Sideways distance from the middle of the chest to the tissue nearest to each position."""
        columns = np.array([tissue.column[place] for place in places(sites, site)])
        distance: np.ndarray = np.abs((columns - (chest.hu.shape[2] - 1) / 2) * SPACING[2])
        return distance

    # The dome of the diaphragm reaches a little beyond the middle of each lung.
    assert (sideways_mm("mediastinum") < LUNG_CENTRE_MM[0] + RADIUS_MM).all()
    assert np.median(sideways_mm("mediastinum")) < 50 < LUNG_CENTRE_MM[0] < np.median(sideways_mm("wall"))


def test_a_vessel_position_is_near_a_vessel_and_needs_one(sites: Sites) -> None:
    chest = chest_of(vessels=12)
    found = Sites(chest.hu, SPACING)

    assert (tissue_of(chest).depths(places(found, "vessel")) < RADIUS_MM).all()
    assert sites.find(RADIUS_MM, "vessel", np.random.default_rng(0)) is None


def test_a_single_slice_has_positions_too(chest: Phantom) -> None:
    lone = Sites(chest.hu[30:31], SPACING)

    assert all(place[0] == 0 for place in places(lone, "free"))


def test_no_lesion_lies_in_the_trachea_or_a_main_bronchus(chest: Phantom, sites: Sites) -> None:
    """The phantom's trachea runs along (0, 12, z) down to 22 mm, its bronchi from (3, 12, 24) by (4, 1, -3.2)."""
    tracheal = [(0.0, 12.0, float(z)) for z in range(22, 178)]
    bronchial = [(side * (3 + 4 * step), 12 + step, 24 - 3.2 * step) for side in (-1, 1) for step in range(12)]
    rng = np.random.default_rng(3)
    small = {sites.find(2.5, "free", rng) for _ in range(1000)}
    at = np.array([place for place in small if place is not None]) @ chest.affine[:3, :3].T + chest.affine[:3, 3]
    apart = np.linalg.norm(at[:, None] - np.array(tracheal + bronchial), axis=2).min(1)

    assert len(at) > 900
    assert (apart > 5.0).all()


def test_bowel_gas_is_not_lung() -> None:
    belly = np.full((4, 220, 300), 40.0, np.float32)
    rows, columns = np.ogrid[:220, :300]
    belly[:, (rows - 90) ** 2 + (columns - 150) ** 2 < 22**2] = -950.0

    assert Sites(belly, SPACING).find(3.0, "free", np.random.default_rng(0)) is None


@pytest.mark.parametrize("site", ["free", "vessel", "edge", "wall", "mediastinum"])
def test_nothing_fits_without_a_lung_or_if_the_lesion_is_too_large(sites: Sites, site: Site) -> None:
    solid = np.full((10, 40, 40), 40.0, np.float32)

    assert Sites(solid, SPACING).find(5.0, site, np.random.default_rng(0)) is None
    assert sites.find(200.0, site, np.random.default_rng(0)) is None
