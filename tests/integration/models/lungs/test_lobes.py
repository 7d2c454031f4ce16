"""Lobes and sides from masks alone.

The reference for the lobes is the template of the R package lungct (GPL: only read here, never shipped); nothing in
models/lungs was fitted to it. The reference for the sides are the coordinates of the masks, read by SimpleITK.
"""

from __future__ import annotations

import itertools
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from numpy.typing import NDArray

from models.lungs.grid import UprightGrid, upright
from models.lungs.lobes import RIGHT_LOWER_SHARE, lobes_of
from models.lungs.lungs import Lobe
from models.lungs.outline import lungs_from
from models.lungs.sides import Sides, split_sides
from models.lungs.surroundings import fissure_distance
from models.volume import Volume
from tests.fixtures.models.lung_phantoms import analytic_lung, points
from tests.fixtures.orthanc_stack import SHARED

sitk: Any = SimpleITK  # untyped

needs_data = pytest.mark.skipif(
    not (SHARED / "data" / "unpack").is_file(), reason="the shared reference material is not beside the repository"
)
# The template's own numbers.
ATLAS = {3: Lobe.RIGHT_UPPER, 4: Lobe.RIGHT_MIDDLE, 5: Lobe.RIGHT_LOWER, 1: Lobe.LEFT_UPPER, 2: Lobe.LEFT_LOWER}
EVERY_MM = 2


@pytest.fixture(scope="module")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Our lobes in the template's lungs, and the template's lobes with our numbers; upright, 2 mm."""
    folder = tmp_path_factory.mktemp("data")
    subprocess.run([SHARED / "data" / "unpack", folder, "lung-atlas"], check=True, capture_output=True)
    mask, lobes = (read(folder / "lung-atlas" / f"lung_template_{name}.nii") for name in ("mask", "lobe"))
    truth = np.zeros(lobes.shape, np.uint8)
    for number, lobe in ATLAS.items():
        truth[lobes == number] = lobe
    return lobes_of(Sides(right=mask == 1, left=mask == 2), (2.0, 2.0, 2.0)), truth


def read(path: Path) -> NDArray[np.uint8]:
    """Every second voxel of the template, rows to the back: in its file they run to the front."""
    image = sitk.ReadImage(str(path))
    assert image.GetDirection() == (1, 0, 0, 0, -1, 0, 0, 0, 1)
    array: NDArray[np.uint8] = sitk.GetArrayFromImage(image)[::EVERY_MM, ::-EVERY_MM, ::EVERY_MM].astype(np.uint8)
    return array


@needs_data
@pytest.mark.parametrize("lobe", list(Lobe))
def test_each_lobe_agrees_with_the_template(atlas: tuple[NDArray[np.uint8], NDArray[np.uint8]], lobe: Lobe) -> None:
    ours, truth = (lobes == lobe for lobes in atlas)

    assert 2 * (ours & truth).sum() / (ours.sum() + truth.sum()) >= 0.85


@needs_data
def test_wrong_lobes_are_near_a_fissure(atlas: tuple[NDArray[np.uint8], NDArray[np.uint8]]) -> None:
    ours, truth = atlas
    named = (ours > 0) & (truth > 0)
    sides = Sides(right=np.isin(ours, (1, 2, 3)), left=ours >= Lobe.LEFT_UPPER)
    fissure_mm = fissure_distance(ours, sides, (2.0, 2.0, 2.0))
    is_wrong = named & (ours != truth)

    assert is_wrong.any()
    assert np.median(fissure_mm[is_wrong]) < 6
    assert np.median(fissure_mm[named & ~is_wrong]) > 25
    assert is_wrong[named & (fissure_mm > 15)].mean() < 0.01
    assert is_wrong[named & (fissure_mm <= 5)].mean() > 0.2
    assert not ((ours <= Lobe.RIGHT_LOWER) != (truth <= Lobe.RIGHT_LOWER))[named].any()


@pytest.fixture(scope="module")
def analytic_lungs() -> tuple[Sides, NDArray[np.float64]]:
    affine = np.array([[0, 0, 3.0, -150.0], [0, 3.0, 0, -105.0], [3.0, 0, 0, -141.0], [0, 0, 0, 1]])
    where = points((90, 70, 100), affine)
    return Sides(right=analytic_lung(where, -1), left=analytic_lung(where, 1)), affine


def test_lobes_have_anatomical_positions_and_fill_both_lungs(
    analytic_lungs: tuple[Sides, NDArray[np.float64]],
) -> None:
    """Lower lobes behind and below, the middle lobe in front; shares of volume of Yamada et al. 2020."""
    sides, affine = analytic_lungs
    lobes = lobes_of(sides, (3.0, 3.0, 3.0))
    where = points(lobes.shape, affine)
    centre = {lobe: where[lobes == lobe].mean(0) for lobe in Lobe}
    sizes = {lobe: int((lobes == lobe).sum()) for lobe in Lobe}

    np.testing.assert_array_equal(np.isin(lobes, (1, 2, 3)), sides.right)
    np.testing.assert_array_equal(lobes >= Lobe.LEFT_UPPER, sides.left)
    assert centre[Lobe.RIGHT_UPPER][2] > centre[Lobe.RIGHT_MIDDLE][2] > centre[Lobe.RIGHT_LOWER][2]
    assert centre[Lobe.RIGHT_MIDDLE][1] < min(centre[Lobe.RIGHT_UPPER][1], centre[Lobe.RIGHT_LOWER][1])
    assert centre[Lobe.LEFT_UPPER][2] > centre[Lobe.LEFT_LOWER][2]
    assert centre[Lobe.LEFT_UPPER][1] < centre[Lobe.LEFT_LOWER][1]
    assert sizes[Lobe.RIGHT_LOWER] / sides.right.sum() == pytest.approx(RIGHT_LOWER_SHARE, abs=0.01)
    assert sizes[Lobe.RIGHT_MIDDLE] / sides.right.sum() == pytest.approx(9.3 / 53.6, rel=0.4)


def test_the_distance_to_a_flat_fissure_is_the_distance_to_its_plane() -> None:
    """A box divided between slices 19 and 20 of 2 mm; the other lung beside it must not count."""
    lobes = np.zeros((40, 20, 20), np.uint8)
    lobes[:20, :, :8], lobes[20:, :, :8], lobes[:, :, 12:] = Lobe.RIGHT_LOWER, Lobe.RIGHT_UPPER, Lobe.LEFT_UPPER
    sides = Sides(right=np.isin(lobes, (1, 2, 3)), left=lobes >= Lobe.LEFT_UPPER)
    fissure_mm = fissure_distance(lobes, sides, (2.0, 2.0, 2.0))

    np.testing.assert_allclose(fissure_mm[:, 5, 4], np.abs(2.0 * np.arange(40) - 39.0))
    assert not fissure_mm[lobes == 0].any()


def test_touching_lungs_are_separated_where_they_touch(analytic_lungs: tuple[Sides, NDArray[np.float64]]) -> None:
    """A bridge in front, as at the anterior junction line, connects both lungs."""
    sides, _ = analytic_lungs
    bridge = np.zeros(sides.right.shape, bool)
    bridge[45:70, 16:22, 35:65] = True
    both = sides.right | sides.left | bridge
    separated = split_sides(both, (3.0, 3.0, 3.0))

    assert separated is not None
    assert not (separated.right & separated.left).any()
    for ours, other, truth in ((separated.right, sides.left, sides.right), (separated.left, sides.right, sides.left)):
        assert (ours & truth).sum() > 0.995 * truth.sum()
        assert (ours & other).sum() < 0.005 * truth.sum()


def test_a_single_lung_is_not_a_pair(analytic_lungs: tuple[Sides, NDArray[np.float64]]) -> None:
    assert split_sides(analytic_lungs[0].right, (3.0, 3.0, 3.0)) is None
    assert split_sides(np.zeros((8, 8, 8), bool), (3.0, 3.0, 3.0)) is None


@needs_data
def test_the_side_is_right_in_masks_of_patients(tmp_path: Path) -> None:
    """Some expert masks (all: models/lungs/README.md). SimpleITK gives the position of a voxel: smaller x is right."""
    for path in first_masks(5, tmp_path):
        image = sitk.ReadImage(str(path)) > 0
        array = sitk.GetArrayFromImage(image).astype(np.float32)
        mask, grid = upright(Volume(hu=array, affine=lps_affine(image)))
        sides = split_sides(mask >= 0.5, grid.spacing)

        assert sides is not None, path.name
        right, left = (median_x(image, lung, grid) for lung in (sides.right, sides.left))
        assert right + 60 < left, path.name
        assert (sides.right | sides.left).sum() > 0.98 * (mask >= 0.5).sum(), path.name


def first_masks(count: int, folder: Path) -> Iterator[Path]:
    """Unpack the first of the archive's smaller masks; the archive has gigabytes."""
    with tarfile.open(SHARED / "data" / "expert-masks.tar.xz") as archive:
        smaller = (member for member in archive if member.name.endswith(".nii") and member.size < 30e6)
        for member in itertools.islice(smaller, count):
            archive.extract(member, folder, filter="data")
            yield folder / member.name


def lps_affine(image: Any) -> NDArray[np.float64]:  # noqa: ANN401  (SimpleITK is untyped)
    """The image's affine for (slice, row, column)."""
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, :3], affine[:3, 3] = direction[:, ::-1], image.GetOrigin()
    return affine


def median_x(image: Any, lung: NDArray[np.bool_], grid: UprightGrid) -> float:  # noqa: ANN401
    """The median x of a lung, computed on the image's own grid."""
    xs = []
    for slice_, row, column in np.argwhere(lung)[::997].tolist():
        place = grid.to_lps((slice_, row, column))
        xs.append(image.TransformIndexToPhysicalPoint(image.TransformPhysicalPointToIndex(place))[0])
    return float(np.median(xs))


def test_lungs_can_be_made_from_masks(analytic_lungs: tuple[Sides, NDArray[np.float64]]) -> None:
    sides, affine = analytic_lungs
    lungs = lungs_from(sides, UprightGrid(affine=affine), None)

    assert lungs.carina_mm is None
    assert lungs.volume_ml(Lobe.LEFT_UPPER) == pytest.approx((lungs.lobes == Lobe.LEFT_UPPER).sum() * 0.027)
    assert lungs.fissure_mm[lungs.lobes > 0].min() > 0
