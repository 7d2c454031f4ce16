from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from models.lungs.lungs import Lobe
from models.volume import Mask
from tests.fixtures.models.model_card import CARD
from tests.fixtures.worker.make_lungs import Mm3, centres, grid, lungs_on, shape_of
from worker.lesions.lesion import Lesion, find_lesions
from worker.lesions.location import MAX_VOXELS, contact_limit_mm, locate, sure_from_mm

SCAN = (2.0, 1.0, 1.0)
LUNGS = lungs_on()


def lesion_of(voxels: NDArray[np.bool_], affine: NDArray[np.float64]) -> Lesion:
    (lesion,) = find_lesions(Mask(voxels=voxels, affine=affine), CARD, "c" * 64)
    return lesion


def sphere(centre_mm: Mm3, radius_mm: float, affine: NDArray[np.float64], spacing_mm: Mm3 = SCAN) -> Lesion:
    squares = ((centres(affine, shape_of(spacing_mm)) - centre_mm) ** 2).sum(axis=-1)
    return lesion_of(np.less_equal(squares, radius_mm**2), affine)


def box(low_mm: Mm3, high_mm: Mm3) -> Lesion:
    affine = grid(SCAN)
    points = centres(affine, shape_of(SCAN))
    return lesion_of(np.asarray(((points > low_mm) & (points < high_mm)).all(axis=-1)), affine)


@pytest.mark.parametrize("scan_signs", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
@pytest.mark.parametrize("lung_signs", [(1, 1, 1), (-1, -1, 1), (1, 1, -1)])
@pytest.mark.parametrize(
    ("centre_mm", "lobe", "fissure_mm"),
    [
        ((-30, 5, 40), Lobe.RIGHT_UPPER, 20),
        ((-24, -8, 5), Lobe.RIGHT_MIDDLE, 15),
        ((-30, 5, -35), Lobe.RIGHT_LOWER, 25),
        ((33, 5, 30), Lobe.LEFT_UPPER, 30),
        ((28, -8, -40), Lobe.LEFT_LOWER, 40),
    ],
)
def test_lobe_and_distances_are_the_analytic_values_for_any_grid_orientation(
    scan_signs: Mm3, lung_signs: Mm3, centre_mm: Mm3, lobe: Lobe, fissure_mm: float
) -> None:
    affine = grid(SCAN, scan_signs)

    result = locate(sphere(centre_mm, 5, affine), affine, lungs_on(signs=lung_signs))

    assert result.lobe is lobe
    assert result.fissure_mm == pytest.approx(fissure_mm, abs=1.5)
    assert result.wall_mm == pytest.approx(50 - abs(centre_mm[0]) - 5, abs=1.5)
    assert result.mediastinum_mm == pytest.approx(abs(centre_mm[0]) - 5 - 10, abs=1.5)
    to_carina = np.linalg.norm(np.subtract(centre_mm, (0, 0, 10))) - 5
    assert result.carina_mm == pytest.approx(to_carina, abs=1.0)
    assert (result.touches_wall, result.touches_mediastinum, result.is_lobe_sure) == (False, False, True)


def test_a_sheared_stack_does_not_change_the_location() -> None:
    affine = grid(SCAN, lean=0.3)

    result = locate(sphere((-30, 5, -40), 5, affine), affine, LUNGS)

    assert result.lobe is Lobe.RIGHT_LOWER
    assert result.fissure_mm == pytest.approx(30, abs=1.5)
    assert result.carina_mm == pytest.approx(np.linalg.norm((-30, 5, -50)) - 5, abs=1.0)


def test_the_lobe_is_the_one_with_most_voxels() -> None:
    mostly_upper, mostly_middle = box((-34, -4, 10), (-26, 4, 34)), box((-34, -4, 6), (-26, 4, 30))

    assert locate(mostly_upper, grid(SCAN), LUNGS).lobe is Lobe.RIGHT_UPPER  # 14 mm of 24 lie above the fissure
    assert locate(mostly_middle, grid(SCAN), LUNGS).lobe is Lobe.RIGHT_MIDDLE  # 10 mm of 24


def test_voxels_outside_of_the_lobes_are_ignored() -> None:
    affine = grid(SCAN)
    mostly_in_the_mediastinum = box((-14, -4, 24), (8, 4, 36))

    assert locate(mostly_in_the_mediastinum, affine, LUNGS).lobe is Lobe.RIGHT_UPPER


@pytest.mark.parametrize(
    ("centre_mm", "lobe"),
    [
        ((-56, 0, 40), Lobe.RIGHT_UPPER),
        ((56, 0, -40), Lobe.LEFT_LOWER),
        ((5, 0, 30), Lobe.LEFT_UPPER),
        ((-5, 0, 5), Lobe.RIGHT_MIDDLE),
    ],
)
def test_a_lesion_outside_of_every_lobe_gets_the_nearest_lobe(centre_mm: Mm3, lobe: Lobe) -> None:
    affine = grid(SCAN)

    assert locate(sphere(centre_mm, 3, affine), affine, LUNGS).lobe is lobe


def test_the_nearest_lobe_is_found_by_distance_and_not_by_search_box() -> None:
    lobes = np.zeros_like(LUNGS.lobes)
    z, y, x = 30, 15, 30  # the voxel at (1, 1, 1) mm
    lobes[z + 8, y + 8, x + 8] = Lobe.LEFT_UPPER  # 16 mm away along each axis, 28 mm in total
    lobes[z - 12, y, x] = Lobe.RIGHT_LOWER  # 24 mm
    affine = grid(SCAN)

    assert locate(sphere((1, 1, 1), 3, affine), affine, replace(LUNGS, lobes=lobes)).lobe is Lobe.RIGHT_LOWER


def test_a_single_lobe_is_found_at_any_distance() -> None:
    lobes = np.zeros_like(LUNGS.lobes)
    lobes[0, 0, 0] = Lobe.RIGHT_LOWER
    affine = grid(SCAN)

    assert locate(sphere((55, 25, 55), 3, affine), affine, replace(LUNGS, lobes=lobes)).lobe is Lobe.RIGHT_LOWER


def test_lungs_without_a_lobe_raise_an_error() -> None:
    affine = grid(SCAN)

    with pytest.raises(ValueError, match="no lobe"):
        locate(sphere((30, 0, 30), 3, affine), affine, replace(LUNGS, lobes=np.zeros_like(LUNGS.lobes)))


def test_the_fissure_distance_is_read_inside_the_lobe_even_if_the_centre_is_outside() -> None:
    affine = grid(SCAN)
    over_the_mediastinum = box((-18, -4, 36), (14, 4, 44))  # its centre lies at x = -2

    result = locate(over_the_mediastinum, affine, LUNGS)

    assert result.lobe is Lobe.RIGHT_UPPER
    assert result.fissure_mm == pytest.approx(20, abs=1.5)


def test_outside_of_the_lobes_the_distance_to_the_lobe_is_subtracted_from_the_fissure_distance() -> None:
    affine = grid(SCAN)

    result = locate(sphere((-58, 0, 40), 2, affine), affine, LUNGS)

    # The nearest voxel of the lobe has its centre at x = -49, 9 mm away, and is 19 or 21 mm above the fissure.
    assert result.fissure_mm == pytest.approx(11, abs=1.2)
    assert not result.is_lobe_sure  # inside the lobe, 20 mm above the fissure would be sure


def test_a_lobe_is_sure_from_10_mm_plus_a_third_of_the_radius() -> None:
    affine = grid(SCAN)
    lesion = sphere((30, 0, 20), 9, affine)

    assert sure_from_mm(lesion, affine) == pytest.approx(13, abs=0.1)
    assert not locate(sphere((30, 0, 11), 9, affine), affine, LUNGS).is_lobe_sure
    assert locate(sphere((30, 0, 15), 9, affine), affine, LUNGS).is_lobe_sure
    assert locate(sphere((30, 0, -15), 9, affine), affine, LUNGS).is_lobe_sure
    assert not locate(sphere((30, 0, -11), 9, affine), affine, LUNGS).is_lobe_sure
    assert not locate(sphere((30, 0, 1), 9, affine), affine, LUNGS).is_lobe_sure


def test_a_plane_a_third_of_the_radius_from_the_centre_leaves_three_quarters_of_a_sphere() -> None:
    axis = np.linspace(-1, 1, 121)
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    inside = x**2 + y**2 + z**2 <= 1

    assert (inside & (z > 1 / 3)).sum() / inside.sum() == pytest.approx(7 / 27, abs=0.01)


@pytest.mark.parametrize(("gap_mm", "touches"), [(-3, True), (0, True), (1, True), (6, False), (10, False)])
def test_a_lesion_touches_the_wall_within_one_coarse_voxel(gap_mm: float, touches: bool) -> None:
    affine = grid(SCAN)

    right = locate(sphere((-50 + 6 + gap_mm, 0, 40), 6, affine), affine, LUNGS)
    left = locate(sphere((50 - 6 - gap_mm, 0, 40), 6, affine), affine, LUNGS)

    assert [right.touches_wall, left.touches_wall] == [touches, touches]
    assert right.wall_mm == (0 if touches else pytest.approx(gap_mm, abs=1.5))
    assert not right.touches_mediastinum


@pytest.mark.parametrize(("gap_mm", "touches"), [(-3, True), (0, True), (1, True), (6, False), (10, False)])
def test_a_lesion_touches_the_mediastinum_by_the_same_rule(gap_mm: float, touches: bool) -> None:
    affine = grid(SCAN)

    result = locate(sphere((10 + 6 + gap_mm, 0, -40), 6, affine), affine, LUNGS)

    assert result.touches_mediastinum is touches
    assert result.mediastinum_mm == (0 if touches else pytest.approx(gap_mm, abs=1.5))
    assert not result.touches_wall


def test_the_limit_of_contact_is_a_coarse_pixel_and_half_a_slice_or_a_coarse_slice() -> None:
    assert contact_limit_mm(grid((1.0, 0.5, 0.5)), LUNGS) == pytest.approx(2.5, abs=0.02)
    assert contact_limit_mm(grid((5.0, 0.5, 0.5)), LUNGS) == pytest.approx(4.5, abs=0.02)
    assert contact_limit_mm(grid((5.0, 0.5, 0.5)), lungs_on((5.0, 2.0, 2.0))) == pytest.approx(5, abs=0.02)


@pytest.mark.parametrize(("bottom_mm", "touches"), [(-30, True), (-20, False)])
def test_on_thick_slices_a_lesion_on_the_diaphragm_touches_it(bottom_mm: float, touches: bool) -> None:
    """The diaphragm is the plane z = -30; distances run from centre to centre, as in a distance transform."""
    spacing = (5.0, 1.0, 1.0)
    affine, lungs = grid(spacing), lungs_on((5, 2, 2))
    height_mm = centres(lungs.affine, lungs.lobes.shape)[..., 2] + 30
    to_diaphragm = np.where(height_mm > 0, np.ceil(height_mm / 5) * 5, 0).astype(np.float32)

    lesion = sphere((30, 0, bottom_mm + 10), 10, affine, spacing)

    assert locate(lesion, affine, replace(lungs, wall_mm=to_diaphragm)).touches_wall is touches


def test_without_a_carina_its_distance_is_none() -> None:
    affine = grid(SCAN)

    assert locate(sphere((30, 0, 30), 3, affine), affine, lungs_on(carina_mm=None)).carina_mm is None


def test_a_very_large_lesion_is_subsampled_and_has_the_same_location() -> None:
    affine = grid((1.0, 0.5, 0.5))
    lesion = sphere((30, 0, 40), 19, affine, (1.0, 0.5, 0.5))
    assert lesion.voxels.sum() > 1.1 * MAX_VOXELS

    result = locate(lesion, affine, LUNGS)

    assert result.lobe is Lobe.LEFT_UPPER
    assert result.touches_wall
    assert result.touches_mediastinum
    assert result.carina_mm == pytest.approx(np.hypot(30, 30) - 19, abs=0.5)


def test_outside_of_the_lungs_grid_its_edge_is_read() -> None:
    affine = grid(SCAN)
    half = replace(
        LUNGS,
        **{name: getattr(LUNGS, name)[:45] for name in ("lobes", "fissure_mm", "wall_mm", "mediastinum_mm")},
    )  # the grid ends at z = 30

    result = locate(sphere((30, 0, 50), 4, affine), affine, half)

    assert result.lobe is Lobe.LEFT_UPPER
    assert result.wall_mm == pytest.approx(16, abs=1.5)


def test_a_lesion_of_one_voxel_has_a_location() -> None:
    affine = grid(SCAN)

    assert locate(sphere((30.5, 0.5, 31), 0.1, affine), affine, LUNGS).lobe is Lobe.LEFT_UPPER


def test_a_scan_may_be_coarser_than_the_lungs_grid() -> None:
    """Thick slices: the lungs' grid is finer along z than the scan."""
    spacing = (6.0, 1.0, 1.0)
    affine = grid(spacing)

    result = locate(sphere((-30, 0, 39), 8, affine, spacing), affine, lungs_on((3, 2, 2)))

    assert result.lobe is Lobe.RIGHT_UPPER
    assert result.wall_mm == pytest.approx(12, abs=2)
