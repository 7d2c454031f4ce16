import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its usual name
from scipy import ndimage

from tests.fixtures.training.judged import POINT, box, case, predicted
from training.evaluation.case import case_of, grouped
from training.evaluation.metrics import case_numbers, dice, hausdorff_95_mm, surface_dice
from training.evaluation.predict import dice_by_source
from training.evaluation.summary import marked_in

SHAPE = (20, 40, 40)
SPACING = (2.5, 0.7, 1.3)
TRUTH = box(SHAPE, (4, 5, 6), (12, 25, 26))


def blob(seed: int) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((24, 40, 40)), (2, 4, 4))
    middle = box((24, 40, 40), (5, 8, 8), (19, 32, 32))
    inside: np.ndarray = (noise > 0) & middle
    return inside


@pytest.mark.parametrize(
    ("axis", "voxels", "distance_mm", "overlap"),
    [(0, 2, 5.0, 6 / 8), (1, 3, 2.1, 17 / 20), (2, 2, 2.6, 18 / 20)],
)
def test_the_distance_of_a_shifted_box_is_its_shift(axis: int, voxels: int, distance_mm: float, overlap: float) -> None:
    shifted = np.roll(TRUTH, voxels, axis)

    assert hausdorff_95_mm(shifted, TRUTH, SPACING) == pytest.approx(distance_mm, abs=1e-4)
    assert dice(shifted, TRUTH) == pytest.approx(overlap)
    assert surface_dice(shifted, TRUTH, SPACING, distance_mm + 0.01) == 1


def test_surface_dice_is_the_share_of_the_area_within_the_tolerance() -> None:
    # A box of 40 x 50 x 60 mm, shifted by 5 mm along its longest side, tolerance 2 mm. Outside the
    # tolerance: the cap outside the other box (40 x 50), 3 mm of its sides (perimeter 2 x (40 + 50)), and the cap
    # inside the other box without a rim of 2 mm (36 x 46): 4196 of 14800 mm2. The mesh cuts off the edges.
    truth = box((30, 70, 160), (5, 10, 10), (25, 60, 130))

    value = surface_dice(np.roll(truth, 10, 2), truth, (2.0, 1.0, 0.5), 2.0)

    assert value == pytest.approx(1 - 4196 / 14800, abs=0.015)


def test_masks_that_touch_the_edge_of_the_grid_have_a_surface_there() -> None:
    everything = np.ones((6, 6, 6), bool)
    less = everything.copy()
    less[0] = False

    assert hausdorff_95_mm(everything, less, (3.0, 1.0, 1.0)) == 3
    assert surface_dice(everything, everything, (3.0, 1.0, 1.0)) == 1


def test_without_marks_the_dice_is_zero_and_the_distance_undefined() -> None:
    numbers = case_numbers(case(TRUTH, TRUTH * 0.0, spacing_mm=SPACING), np.zeros(SHAPE, bool))

    assert (numbers.dice, numbers.surface_dice_2mm, numbers.hd95_mm) == (0, 0, None)
    assert numbers.true_ml == pytest.approx(8 * 20 * 20 * 2.5 * 0.7 * 1.3 / 1000)
    assert numbers.volume_error_ml == -numbers.true_ml
    assert numbers.volume_error_percent == -100


def test_without_a_reference_only_the_volume_is_defined() -> None:
    numbers = case_numbers(case(np.zeros(SHAPE, bool), TRUTH * 0.9, spacing_mm=SPACING), TRUTH)

    assert (numbers.dice, numbers.surface_dice_2mm, numbers.hd95_mm, numbers.volume_error_percent) == (None,) * 4
    assert numbers.volume_error_ml == numbers.marked_ml > 0


@pytest.mark.parametrize("seed", range(4))
def test_simpleitk_finds_the_same_dice_and_the_same_largest_distance(seed: int) -> None:
    one, other = blob(seed), np.roll(blob(seed), (1, 2, 0), (0, 1, 2)) | blob(seed + 50)
    images = [sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (one, other)]
    for image in images:
        image.SetSpacing(SPACING[::-1])
    overlap, distance = sitk.LabelOverlapMeasuresImageFilter(), sitk.HausdorffDistanceImageFilter()
    overlap.Execute(*images)
    distance.Execute(*images)

    assert dice(one, other) == pytest.approx(overlap.GetDiceCoefficient(), abs=1e-9)
    # SimpleITK measures from all voxels of a mask, not from its surface. The largest distance is nearly the same: a
    # voxel inside a mask is hardly farther from the other mask than some voxel of the surface.
    assert hausdorff_95_mm(one, other, SPACING, percentile=None) == pytest.approx(
        distance.GetHausdorffDistance(), abs=1.0
    )


def test_the_stacks_of_a_patient_keep_their_positions_with_gaps_between() -> None:
    low, high = box((2, 8, 8), (0, 1, 1), (2, 5, 5)), box((3, 8, 8), (1, 2, 2), (2, 6, 6))
    items = [predicted(high, high * 0.8, first_slice=9), predicted(low, low * 0.9, first_slice=4)]

    whole = case_of(grouped(items)[0])

    assert whole.seen.tolist() == [True, True, False, False, False, True, True, True]
    assert whole.mask.sum((1, 2)).tolist() == [16, 16, 0, 0, 0, 0, 16, 0]
    assert whole.probability.max((1, 2)).tolist() == pytest.approx([0.9, 0.9, 0, 0, 0, 0, 0.8, 0])


def test_two_stacks_with_the_same_slice_are_refused() -> None:
    mask = box((3, 8, 8), (0, 1, 1), (2, 5, 5))

    with pytest.raises(ValueError, match="same slice"):
        case_of([predicted(mask, mask, first_slice=0), predicted(mask, mask, first_slice=2)])


def test_a_case_has_the_dice_that_is_used_to_choose_the_operating_point() -> None:
    rng = np.random.default_rng(3)
    items = [
        predicted(box((3, 16, 16), (0, 3, 3), (3, 9, 9)), rng.random((3, 16, 16)), first_slice=first)
        for first in (0, 7)
    ]
    whole = case_of(items)

    dice_of_case = case_numbers(whole, marked_in(whole, POINT)).dice
    assert dice_by_source(items, POINT)["msd"].mean == pytest.approx(dice_of_case, abs=5e-4)
