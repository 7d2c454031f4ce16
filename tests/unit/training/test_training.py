from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from models.lungs.field import lung_field
from tests.fixtures.models.model_card import CARD
from tests.fixtures.training.short_run import phantom_stack
from training.data.datasets import Stack, lesion_mask, majority
from training.data.splits import PARTS, folds_of, read_splits, split_patients, training_patients, write_splits
from training.evaluation.predict import OperatingPoint, Predicted, choose_point, dice_by_source, predict
from training.optimise.train import tumour_loss
from training.sampling.augment import context, draw, geometry
from worker.phantom.chest import PhantomLesion, PhantomSpec, chest_phantom

COMMITTED = Path(__file__).parents[3] / "training" / "splits" / "lung_tumour_v2.json"
HALF = OperatingPoint(threshold=0.5, peak_threshold=0.5)


def stack(mask: np.ndarray, source: str = "msd", patient: str = "a") -> Stack:
    hu = np.where(mask, 40, -850).astype(np.int16)
    return Stack(source=source, patient=patient, name=patient, hu=hu, mask=mask, spacing_mm=(1.0, 1.0, 1.0), whole=True)


def test_no_patient_is_in_two_parts_of_the_committed_split() -> None:
    splits = read_splits(COMMITTED)

    assert {name: {part: len(split[part]) for part in PARTS} for name, split in splits.items()} == {
        "lidc": {"train": 209, "validation": 20, "test": 64},
        "msd": {"train": 48, "validation": 0, "test": 0},
    }


def test_each_msd_patient_is_held_back_by_one_fold_and_used_by_the_others() -> None:
    split = read_splits(COMMITTED)["msd"]
    trained = Counter(patient for fold in range(5) for patient in training_patients(split, fold))

    assert sorted(len(fold) for fold in folds_of(split)) == [9, 9, 10, 10, 10]
    assert len(trained) == 48
    assert set(trained.values()) == {4}
    assert all(not training_patients(split, number) & set(fold) for number, fold in enumerate(folds_of(split)))


def test_a_collection_without_folds_uses_its_train_part() -> None:
    splits = read_splits(COMMITTED)

    assert training_patients(splits["lidc"], 2) == set(splits["lidc"]["train"])
    assert training_patients(splits["msd"], None) == set(splits["msd"]["train"])


def test_a_patient_in_two_parts_is_refused(tmp_path: Path) -> None:
    write_splits(tmp_path / "s.json", {"x": {"train": ["p"], "validation": [], "test": ["p"]}})

    with pytest.raises(ValueError, match="two parts"):
        read_splits(tmp_path / "s.json")


def test_a_split_does_not_depend_on_the_order_of_the_patients() -> None:
    patients = [f"p{n}" for n in range(20)]

    assert split_patients(patients, 3, 5, "s") == split_patients(reversed(patients), 3, 5, "s")


def test_the_majority_counts_only_readers_who_marked_the_nodule() -> None:
    # Readers 0 and 1 marked the nodule: the first both pixels, the second one of them. Readers 2 and 3 did not.
    readers = np.array([[[0b0011, 0b0001, 0b0000]]], np.uint8)

    assert majority(readers).tolist() == [[[True, True, False]]]


def test_the_majority_of_three_is_two() -> None:
    readers = np.array([[[0b0111, 0b0011, 0b0001]]], np.uint8)

    assert majority(readers).tolist() == [[[True, True, False]]]


def test_dice_is_twice_the_overlap_over_the_sum() -> None:
    mask = np.zeros((1, 4, 4), bool)
    mask[0, 0] = True
    probability = np.zeros((1, 4, 4), np.float32)
    probability[0, :2, :2] = 0.9  # four voxels, two of them correct
    free = Predicted(stack=stack(np.zeros((1, 4, 4), bool)), probability=np.zeros((1, 4, 4), np.float32))

    figures = dice_by_source([Predicted(stack=stack(mask), probability=probability), free], HALF)

    assert figures["msd"].cases == 1
    assert figures["msd"].mean == pytest.approx(2 * 2 / (4 + 4))


def test_marks_on_a_tumour_free_slice_lower_the_patients_dice() -> None:
    mask = np.zeros((1, 4, 4), bool)
    mask[0, 0] = True
    right = Predicted(stack=stack(mask), probability=mask.astype(np.float32))
    wrong = Predicted(stack=stack(np.zeros((1, 4, 4), bool)), probability=mask.astype(np.float32))

    assert dice_by_source([right, wrong], HALF)["msd"].mean == pytest.approx(2 * 4 / (8 + 4), abs=1e-3)


def test_an_example_has_the_tumour_at_its_centre() -> None:
    mask = np.zeros((5, 200, 200), bool)
    mask[:, 90:110, 90:110] = True
    example = draw(stack(mask), 2, (99.5, 99.5), 128, np.random.default_rng(0))

    assert example.image.shape == (5, 128, 128)
    assert example.target[61:67, 61:67].min() == pytest.approx(1)
    assert 200 < example.target.sum() < 800  # 20 x 20 mm, scaled at random


def test_neighbouring_planes_have_about_the_distance_of_the_segmenter() -> None:
    spacing = 0.625  # four slices are 2.5 mm
    known = replace(stack(np.zeros((41, 8, 8), bool)), spacing_mm=(spacing, 1.0, 1.0))

    def steps(of: Stack) -> list[float]:
        rng = np.random.default_rng(5)
        drawn = [context(of, 20, rng) for _ in range(600)]
        places = [one.shares @ np.arange(41)[one.slices] for one in drawn]
        return [abs(float(middle[3] - middle[2])) for middle in places]

    scan, guessed = steps(known), steps(replace(known, estimated=True))

    assert 0.25 < np.mean(np.array(scan) == 0) < 0.35  # slices without neighbours
    assert np.median([step for step in scan if step]) == pytest.approx(4, rel=0.03)
    apart = [step for step in guessed if step]
    assert (min(apart), max(apart)) == pytest.approx((1, 3), abs=0.05)  # the slice spacing of pictures is unknown


def test_some_thin_slices_are_averaged_to_thick_ones_with_their_mask() -> None:
    mask = np.zeros((41, 64, 64), bool)
    mask[20] = True
    thin = replace(stack(mask), spacing_mm=(1.0, 1.0, 1.0))
    rng = np.random.default_rng(2)
    shares = [float(draw(thin, 20, (31.5, 31.5), 32, rng).target[16, 16]) for _ in range(200)]

    assert 0.55 < np.mean(np.array(shares) > 0.99) < 0.95
    assert 1 / 5 <= min(shares) < 0.3  # a fifth of a slice of 5 mm


def test_large_predictions_are_kept_on_disk_with_the_same_values() -> None:
    class Halves:
        card = CARD

        def probability(self, hu: np.ndarray, *_: object) -> np.ndarray:
            return (hu / 2).astype(np.float32)

    scan = stack(np.zeros((70, 512, 512), bool))
    (item,) = predict(Halves(), [scan])

    assert isinstance(item.probability, np.memmap)
    assert np.array_equal(item.probability, np.asarray(scan.hu) / 2)


def test_the_network_sees_whole_slices_and_marks_only_around_the_lungs() -> None:
    shapes: list[tuple[int, ...]] = []

    class AlwaysOne:
        card = CARD

        def probability(self, hu: np.ndarray, *_: object) -> np.ndarray:
            shapes.append(hu.shape)
            return np.ones(hu.shape, np.float32)

    slices = phantom_stack()
    whole, crop = predict(AlwaysOne(), [slices, replace(slices, whole=False)])

    outside = np.ones(slices.hu.shape, bool)
    rows, columns = (
        np.flatnonzero(lung_field(np.asarray(slices.hu).astype(np.float32), slices.spacing_mm).any(axes))
        for axes in ((0, 2), (0, 1))
    )
    outside[:, rows[0] - 11 : rows[-1] + 12, columns[0] - 11 : columns[-1] + 12] = False  # 24 mm of 2.2 mm pixels
    assert np.array_equal(whole.probability, ~outside)
    assert outside.any()
    assert crop.probability.all()
    assert shapes == [slices.hu.shape] * 2


def test_pixels_outside_the_stack_do_not_count_in_the_loss() -> None:
    logits, target = torch.full((1, 1, 4, 4), -20.0), torch.zeros(1, 1, 4, 4)
    known = torch.ones(1, 1, 4, 4)
    logits[..., 0], known[..., 0] = 20.0, 0.0

    assert float(tumour_loss(logits, target, known)) == pytest.approx(0.0, abs=1e-5)
    assert float(tumour_loss(logits, target, torch.ones(1, 1, 4, 4))) > 1


def test_the_geometry_of_an_example_equals_scipys() -> None:
    """The same rotation, scale and flip by scipy's affine_transform; target and known have no intensity changes."""
    mask = np.zeros((1, 90, 70), bool)
    mask[0, 30:50, 20:44] = True
    lone = replace(stack(mask), spacing_mm=(5.0, 1.3, 0.8))
    for seed in range(5):
        example = draw(lone, 0, (40.0, 32.0), 64, np.random.default_rng(seed))
        again = np.random.default_rng(seed)
        context(lone, 0, again)
        matrix, offset = geometry(lone, (40.0, 32.0), 64, again)
        target, known = (
            affine_transform(plane.astype(np.float32), matrix, offset, (64, 64), order=1, prefilter=False)
            for plane in (mask[0], np.ones((90, 70)))
        )
        assert example.target == pytest.approx(target, abs=1e-3)
        assert (example.known != (known > 0.99)).mean() < 0.002  # pixels exactly on the edge


def test_a_missed_small_nodule_costs_as_much_as_a_missed_mass() -> None:
    mass, nodule = torch.zeros(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    mass[..., :16, :16], nodule[..., :2, :2] = 1, 1
    target = torch.cat([mass, nodule])
    sure = 40 * (2 * target - 1)
    without_nodule, without_mass = sure.clone(), sure.clone()
    without_nodule[1], without_mass[0] = -40, -40
    known = torch.ones_like(target)

    each = [1 - 1 / (4 + 1), 1 - 1 / (256 + 1)]  # (2 * 0 + 1) / (size + 1) for a missed example; halved twice below
    assert float(tumour_loss(without_nodule, target, known)) == pytest.approx(
        (1 - (2 * 256 + 1) / (256 + 260 + 1)) / 2 + each[0] / 4 + 2 * 40 * 4 / 2048, abs=1e-3
    )
    assert float(tumour_loss(without_mass, target, known)) == pytest.approx(
        (1 - (2 * 4 + 1) / (4 + 260 + 1)) / 2 + each[1] / 4 + 2 * 40 * 256 / 2048, abs=1e-3
    )


def test_the_mask_of_a_phantom_has_the_analytic_volume() -> None:
    lesion = PhantomLesion(centre_mm=(-78.0, 0.0, 0.0), half_axes_mm=(20.0, 14.0, 16.0), turn_rad=0.4)
    phantom = chest_phantom(PhantomSpec(shape=(40, 160, 352), spacing_mm=(1.0, 1.0, 1.0), lesions=(lesion,)))

    assert lesion_mask(phantom).sum() / 1000 == pytest.approx(lesion.volume_ml, rel=0.01)


def test_a_lesion_needs_a_voxel_above_the_peak_and_is_outlined_at_the_threshold() -> None:
    sure, doubtful = np.zeros((1, 8, 8), bool), np.zeros((1, 8, 8), bool)
    sure[0, :2, :2], doubtful[0, 6:, 6:] = True, True
    probability = np.where(sure | doubtful, 0.6, 0).astype(np.float32)
    probability[0, 0, 0] = 0.99
    predicted = [
        Predicted(stack=stack(sure), probability=probability),
        Predicted(stack=stack(sure, source="lidc"), probability=probability),
    ]

    point = choose_point(predicted)

    assert 0.6 < point.peak_threshold <= 0.99
    assert point.threshold < 0.6
    assert dice_by_source(predicted, point)["msd"].mean == 1
    assert dice_by_source(predicted, HALF)["msd"].mean == pytest.approx(2 * 4 / (8 + 4), abs=1e-3)
