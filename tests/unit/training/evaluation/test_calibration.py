import numpy as np
import pytest

from tests.fixtures.training.judged import box, case
from training.evaluation.calibration import calibration, sums_of
from training.evaluation.reader_agreement import agreement, reader_numbers

SHAPE = (4, 40, 40)
TUMOUR = box(SHAPE, (0, 10, 10), (4, 20, 20))


def test_a_network_with_correct_probabilities_of_0_and_1_has_no_error() -> None:
    found = calibration(["a"], [sums_of(case(TUMOUR, TUMOUR * 1.0))])

    assert found.expected_calibration_error.value == 0
    assert [row.voxels for row in found.reliability][1:9] == [0] * 8
    assert found.reliability[9].tumour_share == 1


def test_the_error_equals_the_one_computed_by_hand() -> None:
    # All voxels are near: 0.75 for the 400 tumour voxels, 0.25 for 100 others.
    probability = TUMOUR * 0.75 + box(SHAPE, (0, 10, 20), (1, 20, 30)) * 0.25

    found = calibration(["a", "b"], [sums_of(case(TUMOUR, probability))] * 2)
    rows = {row.low: row for row in found.reliability if row.voxels}

    near = sum(row.voxels for row in rows.values())
    assert (rows[0.7].voxels, rows[0.7].mean_probability, rows[0.7].tumour_share) == (800, 0.75, 1)
    assert (rows[0.2].voxels, rows[0.2].mean_probability, rows[0.2].tumour_share) == (200, 0.25, 0)
    assert found.expected_calibration_error.value == pytest.approx((800 * 0.25 + 200 * 0.25) / near, abs=1e-4)


def test_only_voxels_near_a_lesion_and_on_existing_slices_count() -> None:
    far = box(SHAPE, (0, 35, 35), (4, 40, 40))

    sums = sums_of(case(TUMOUR, TUMOUR * 1.0 + far * 0.55, spacing_mm=(1.0, 1.0, 1.0)))

    assert sums[5, 0] == 0  # 15 mm away and more
    assert sums[:, 0].sum() < 4 * 40 * 40
    assert sums_of(case(np.zeros(SHAPE, bool), far * 0.5)).sum() == 0


def test_readers_and_model_are_compared_on_the_same_lesion() -> None:
    # Three readers: 4, 4 and 8 pixels; the first two are equal and inside the third. The model marks the 8.
    small, large = box((1, 8, 8), (0, 2, 2), (1, 4, 4)), box((1, 8, 8), (0, 2, 2), (1, 4, 6))
    bits = (small * 0b011 + large * 0b100).astype(np.uint8)
    lesion = case(small, large * 0.9, whole=False, readers=bits)

    numbers = reader_numbers(lesion, large)

    assert numbers is not None
    assert numbers.readers == 3
    assert numbers.readers_pairwise_dice == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert numbers.model_to_majority_dice == pytest.approx(2 / 3)
    assert numbers.model_to_readers_dice == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert agreement([numbers]).model_minus_readers.value == 0
    assert agreement([numbers]).model_to_majority_minus_readers.value == pytest.approx(2 / 3 - 7 / 9, abs=1e-4)


def test_a_lesion_of_one_reader_has_no_agreement() -> None:
    one = box((1, 8, 8), (0, 2, 2), (1, 4, 4))

    assert reader_numbers(case(one, one * 1.0, readers=one.astype(np.uint8)), one) is None
    assert reader_numbers(case(one, one * 1.0), one) is None
