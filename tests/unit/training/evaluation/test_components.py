import numpy as np
import pytest
from scipy import ndimage

from tests.fixtures.training.judged import predicted
from training.evaluation.components import dice_at, labelled
from training.evaluation.predict import PEAKS, THRESHOLDS, OperatingPoint, dice_by_source


def test_dice_is_that_of_the_outlines_at_every_operating_point() -> None:
    rng = np.random.default_rng(3)
    fields = [ndimage.gaussian_filter(rng.normal(size=(12, 40, 40)), 1.5) for _ in range(2)]
    probability = [(1 / (1 + np.exp(-15 * field))).astype(np.float32) for field in fields]
    masks = [np.roll(field, 2, 1) > 0.15 for field in fields]
    items = [
        predicted(mask, share, patient="a", name=f"a{k}", first_slice=20 * k)
        for k, (mask, share) in enumerate(zip(masks, probability, strict=True))
    ]
    case = [labelled(item.probability, np.asarray(item.stack.mask), item.stack.voxel_ml, THRESHOLDS) for item in items]

    found = set()
    for threshold in THRESHOLDS:
        for peak in PEAKS:
            dice = dice_at(case, threshold, peak)
            outlined = dice_by_source(items, OperatingPoint(threshold=threshold, peak_threshold=peak))["msd"].mean
            assert dice == pytest.approx(outlined, abs=0.0006)  # rounded to three digits
            found.add(round(dice, 3))
    assert len(found) > 10


def test_an_empty_prediction_of_an_empty_reference_has_dice_1() -> None:
    empty = np.zeros((2, 4, 4))

    case = [labelled(empty.astype(np.float32), empty.astype(bool), 1.0, (0.5,))]

    assert dice_at(case, 0.5, 0.9) == 1
