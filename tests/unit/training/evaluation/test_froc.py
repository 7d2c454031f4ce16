import math

import numpy as np
import pytest

from models.volume import Mask
from tests.fixtures.training.judged import ISOTROPIC, JUDGED_CARD, POINT, box, case
from training.data.datasets import lesion_mask
from training.evaluation.attachment import attachment_of
from training.evaluation.detection import Detected, LesionNumbers, detect
from training.evaluation.false_positives import false_positives, free_slices
from training.evaluation.froc import RATES, curve_of, froc
from training.evaluation.predict import OperatingPoint
from worker.lesions.lesion import find_lesions
from worker.phantom.chest import PhantomLesion, PhantomSpec, chest_phantom

SHAPE = (12, 60, 60)
CUBE = box(SHAPE, (2, 10, 10), (10, 18, 18))  # 8 mm wide, 0.512 ml


def lesion(score: float | None, patient: str = "a") -> LesionNumbers:
    return LesionNumbers(
        source="s", patient=patient, case=patient, lesion=1, attachment="free", long_axis_mm=10, volume_ml=1,
        score=score, found=score is not None, dice=None, surface_dice_2mm=None, hd95_mm=None, volume_error_mm3=None,
        long_axis_error_mm=None,
    )  # fmt: skip


def scan(patient: str, lesions: tuple[float | None, ...], false: tuple[float, ...]) -> Detected:
    return Detected(
        source="s",
        patient=patient,
        case=patient,
        slices=1,
        has_truth=bool(lesions),
        lesions=tuple(lesion(score, patient) for score in lesions),
        false_scores=false,
    )


def test_the_curve_equals_the_one_computed_by_hand() -> None:
    # Four lesions in two scans, one of them missed. From the highest score down: found 0.9, false 0.8, found 0.7,
    # false and false 0.6, found 0.5.
    scans = [scan("a", (0.9, None), (0.8, 0.6)), scan("b", (0.7, 0.5), (0.6,))]

    curve = curve_of(scans)

    assert curve.thresholds.tolist() == [0.9, 0.8, 0.7, 0.6, 0.5]
    assert curve.sensitivity.tolist() == [0.25, 0.25, 0.5, 0.5, 0.75]
    assert curve.false_per_scan.tolist() == [0, 0.5, 0.5, 1.5, 1.5]
    assert [curve.sensitivity_at(rate) for rate in RATES] == [0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 0.75]
    assert froc(scans, 0.7).mean_sensitivity.value == pytest.approx((0.25 + 0.25 + 0.5 + 0.5 + 3 * 0.75) / 7, abs=1e-4)


def test_the_operating_point_is_on_the_curve() -> None:
    found = froc([scan("a", (0.9, None), (0.8, 0.6)), scan("b", (0.7, 0.5), (0.6,))], 0.7)

    assert (found.lesions, found.scans) == (4, 2)
    assert found.sensitivity_at_operating_point.value == 0.5
    assert found.false_per_scan_at_operating_point.value == 0.5
    # Drawn twice: a alone 1/2 at 1 false, b alone 1/2 at 0, both 1/2 at 1/2.
    assert (found.sensitivity_at_operating_point.low, found.sensitivity_at_operating_point.high) == (0.5, 0.5)
    assert (found.false_per_scan_at_operating_point.low, found.false_per_scan_at_operating_point.high) == (0, 1)


def of_half_a_ml(peak: float) -> float:
    """The expected score of a mark as large as CUBE, 0.512 ml: its odds are divided by (0.512 / 0.3)^1.5."""
    odds: float = peak / (1 - peak) / (0.512 / 0.3) ** 1.5
    return odds / (1 + odds)


def test_without_marks_nothing_is_found() -> None:
    curve = curve_of([scan("a", (None, None), ())])

    assert curve.sensitivity_at(8) == 0
    assert math.isnan(curve_of([scan("a", (), (0.9,))]).sensitivity_at(8))


def test_a_candidate_hits_by_overlap_or_by_its_centre() -> None:
    half = box(SHAPE, (2, 10, 10), (10, 18, 14))  # IoU 1/2
    tenth = box(SHAPE, (2, 10, 17), (10, 18, 31))  # IoU 64 / (512 + 896 - 64) = 0.048, its centre 10 mm away
    speck = box(SHAPE, (4, 13, 13), (8, 18, 18)) * 0.9  # 100 mm3 in the middle: IoU 0.2

    scores = [detect(case(CUBE, mask * 0.9), POINT, JUDGED_CARD).lesions[0].score for mask in (half, tenth, speck)]

    assert scores[0] == pytest.approx(0.9)
    assert scores[1] is None
    assert scores[2] == pytest.approx(0.81)


def test_a_huge_mark_around_a_small_lesion_hits_it_only_if_centred() -> None:
    small = box(SHAPE, (4, 27, 27), (9, 32, 32))
    around = box(SHAPE, (0, 5, 5), (12, 55, 55))  # IoU 125 / 30000
    aside = np.roll(around, 5, 2)

    centred, beside = (detect(case(small, mask * 0.99), POINT, JUDGED_CARD) for mask in (around, aside))

    assert centred.lesions[0].found
    assert (beside.lesions[0].found, len(beside.false_scores)) == (False, 1)


def test_two_marks_on_one_lesion_are_one_hit_and_no_false_positive() -> None:
    parts = box(SHAPE, (2, 10, 10), (10, 18, 13)) * 0.6 + box(SHAPE, (2, 10, 15), (10, 18, 18)) * 0.9
    elsewhere = box(SHAPE, (2, 40, 40), (10, 48, 48)) * 0.8

    found = detect(case(CUBE, parts + elsewhere), POINT, JUDGED_CARD)

    assert found.lesions[0].score == pytest.approx(0.9)
    assert found.lesions[0].volume_error_mm3 == pytest.approx(2 * 8 * 8 * 3 - 512)
    assert found.lesions[0].dice == pytest.approx(2 * 384 / (384 + 512))
    assert found.false_scores == pytest.approx((of_half_a_ml(0.8),))


def test_the_long_axis_error_is_the_products_own_measurement() -> None:
    # Two columns more: 8 x 10 mm instead of 8 x 8 mm. The outline of a box of pixels has its corners rounded alike.
    longer = box(SHAPE, (2, 10, 10), (10, 18, 20))

    numbers = detect(case(CUBE, longer * 0.9), POINT, JUDGED_CARD).lesions[0]

    assert numbers.long_axis_error_mm == pytest.approx(math.hypot(8, 10) - math.hypot(8, 8), abs=0.3)
    assert numbers.volume_error_mm3 == pytest.approx(8 * 8 * 2)
    assert numbers.hd95_mm == pytest.approx(2)
    assert numbers.surface_dice_2mm == 1


def test_a_reference_below_the_smallest_size_is_ignored() -> None:
    speck = box(SHAPE, (2, 30, 30), (5, 33, 33))  # 27 mm3, the card requires 100
    mark = box(SHAPE, (1, 29, 29), (6, 34, 34))  # 125 mm3

    found = detect(case(CUBE | speck, mark * 0.9), POINT, JUDGED_CARD)

    assert [item.found for item in found.lesions] == [False]
    assert found.false_scores == ()


def test_a_mark_below_the_peak_is_a_candidate_but_not_found() -> None:
    low = CUBE * 0.6

    found = detect(case(CUBE, low), OperatingPoint(threshold=0.5, peak_threshold=0.7), JUDGED_CARD)

    assert found.lesions[0].score == pytest.approx(of_half_a_ml(0.6))
    assert (found.lesions[0].found, found.lesions[0].dice) == (False, None)


def test_marks_on_tumour_free_slices_are_counted_by_slice_and_area() -> None:
    mask = box((4, 20, 20), (0, 2, 2), (1, 6, 6))
    marked = np.zeros((4, 20, 20), bool)
    marked[0, 2:6, 2:6] = marked[1, 10:12, 10:15] = marked[1, 0, 0] = marked[3, 19, 19] = True
    evaluated_case = case(mask, marked * 0.9, spacing_mm=(2.0, 0.5, 0.5))

    counted = free_slices(evaluated_case, marked)
    rates = false_positives([counted], [detect(evaluated_case, POINT, JUDGED_CARD)], 0.5)

    assert (counted.slices, counted.marked_slices, counted.marks) == (3, 2, 3)
    assert counted.marked_mm2 == pytest.approx(12 * 0.25)
    assert rates.marks_per_slice.value == 1
    assert rates.tumour_free_scans == 0
    assert free_slices(case(mask, marked * 0.9, whole=False), marked).slices == 0


def test_false_lesions_in_a_scan_without_tumour_are_counted() -> None:
    free = [case(np.zeros(SHAPE, bool), CUBE * 0.9 * factor, patient=name) for name, factor in (("a", 1), ("b", 0))]

    rates = false_positives([free_slices(item, item.probability > 0.5) for item in free],
                        [detect(item, POINT, JUDGED_CARD) for item in free], 0.5)  # fmt: skip

    assert rates.tumour_free_scans == 2
    assert rates.false_lesions_per_tumour_free_scan.value == 0.5
    assert (rates.false_lesions_per_tumour_free_scan.low, rates.false_lesions_per_tumour_free_scan.high) == (0, 1)
    assert rates.share_of_slices_with_marks.value == pytest.approx(8 / 24, abs=1e-4)


def test_a_lesion_is_attached_to_the_tissue_that_it_touches() -> None:
    centres = {"free": (-80.0, 0.0, 0.0), "wall": (127.0, 0.0, 0.0), "mediastinum": (-36.0, 10.0, 0.0)}
    spots = tuple(PhantomLesion(centre_mm=centre, half_axes_mm=(12.0, 12.0, 12.0)) for centre in centres.values())
    phantom = chest_phantom(
        PhantomSpec(shape=(12, 128, 176), spacing_mm=(4.0, 2.0, 2.0), lesions=spots, noise_hu=10.0, vessels_per_lung=20)
    )
    mask, hu = lesion_mask(phantom), phantom.hu.astype(np.int16)
    whole = case(mask, mask * 0.9, hu=hu, spacing_mm=(4.0, 2.0, 2.0))
    crop = case(mask, mask * 0.9, hu=hu, spacing_mm=(4.0, 2.0, 2.0), whole=False)

    found = find_lesions(Mask(voxels=mask, affine=phantom.affine), JUDGED_CARD, "t")

    assert len(found) == 3
    for lesion_ in found:
        distances = {name: np.linalg.norm(np.subtract(lesion_.centroid_mm, c)) for name, c in centres.items()}
        place = min(distances, key=lambda name: distances[name])
        assert attachment_of(lesion_, whole) == place
        assert attachment_of(lesion_, crop) == ("free" if place == "free" else "attached")


def test_the_boxes_of_these_tests_have_a_grid_of_1_mm() -> None:
    assert case(CUBE, CUBE * 0.9).spacing_mm == ISOTROPIC
    assert case(CUBE, CUBE * 0.9).voxel_ml == pytest.approx(0.001)
