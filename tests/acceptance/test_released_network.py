import numpy as np
import pytest

from models.lung_tumour.scoring import outlined, score
from models.lungs.field import lung_field
from models.registry import load_model
from models.segmenter import InferenceSettings, ModelError, Segmenter
from models.volume import Mask, Volume, spacing_of, voxel_volume_ml
from worker.phantom.chest import Phantom, PhantomLesion, PhantomSpec, chest_phantom

LESION = PhantomLesion(centre_mm=(-78.0, -12.0, 10.0), half_axes_mm=(17.0, 17.0, 17.0))


@pytest.fixture(scope="module")
def phantom() -> Phantom:
    return chest_phantom(PhantomSpec(shape=(28, 240, 352), spacing_mm=(3.0, 1.05, 1.0), lesions=(LESION,)))


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    """The released model with two of its networks; these tests hold for any number of them."""
    return load_model("lung_tumour", InferenceSettings(device="cpu", ensemble_size=2, flip_tta=False))


@pytest.fixture(scope="module")
def upright(phantom: Phantom, segmenter: Segmenter) -> Mask:
    return segmenter.segment(Volume(hu=phantom.hu, affine=phantom.affine), lambda _: None)


def test_the_lung_field_is_the_air_inside_the_body(phantom: Phantom) -> None:
    field = lung_field(phantom.hu, phantom.spec.spacing_mm)
    x, y, z, _ = np.linalg.inv(phantom.affine) @ (-78.0, 30.0, -20.0, 1.0)

    assert field[round(x), round(y), round(z)]
    assert not field[:, 0].any()
    assert not field[14, 120, 175]  # the mediastinum


def test_a_scan_without_air_has_no_lung_field() -> None:
    assert not lung_field(np.zeros((4, 32, 32), np.float32), (3.0, 1.0, 1.0)).any()


def test_the_mask_covers_the_lesion(phantom: Phantom, upright: Mask) -> None:
    inside = np.indices(upright.voxels.shape).reshape(3, -1)
    points = phantom.affine[:3, :3] @ inside + phantom.affine[:3, 3:]
    truth = (np.linalg.norm(points.T - LESION.centre_mm, axis=1) <= 17.0).reshape(upright.voxels.shape)
    dice = 2 * (upright.voxels & truth).sum() / ((upright.voxels[truth.any((1, 2))]).sum() + truth.sum())

    assert dice > 0.8
    assert upright.voxel_ml == pytest.approx(3.0 * 1.05 * 1.0 / 1000)


@pytest.mark.parametrize(
    "axes", [(0,), (1,), (2,), (1, 2), (0, 1, 2)], ids=["feet first", "rows", "columns", "rows and columns", "all"]
)
def test_the_same_voxels_are_marked_in_reverse_storage_order(
    phantom: Phantom, segmenter: Segmenter, upright: Mask, axes: tuple[int, ...]
) -> None:
    affine = phantom.affine.copy()
    for axis in axes:
        affine[:3, 3] += affine[:3, axis] * (phantom.hu.shape[axis] - 1)
        affine[:3, axis] *= -1
    reversed_mask = segmenter.segment(Volume(hu=np.flip(phantom.hu, axes).copy(), affine=affine), lambda _: None)

    assert upright.voxels.any()
    assert np.array_equal(np.flip(reversed_mask.voxels, axes), upright.voxels)


def test_the_same_voxels_are_marked_with_rows_and_columns_exchanged(
    phantom: Phantom, segmenter: Segmenter, upright: Mask
) -> None:
    transposed = Volume(hu=phantom.hu.transpose(0, 2, 1).copy(), affine=phantom.affine[:, [0, 2, 1, 3]])

    assert np.array_equal(segmenter.segment(transposed, lambda _: None).voxels.transpose(0, 2, 1), upright.voxels)


def test_an_unavailable_device_is_named() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ModelError, match="cuda is not available"):
        load_model("lung_tumour", InferenceSettings(device="cuda"))


def test_a_sheared_grid_keeps_its_voxel_volume() -> None:
    affine = np.array([[0, 0, 0.8, 0], [0.5, 0.8, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1.0]])

    assert voxel_volume_ml(affine) == pytest.approx(2.0 * 0.8 * 0.8 / 1000)
    assert spacing_of(affine)[1:] == pytest.approx((0.8, 0.8))


def test_the_odds_of_a_candidate_are_divided_by_a_power_of_its_volume() -> None:
    peak = np.full(7, 0.99)  # odds of 99 to 1
    found = score(peak, np.array([0.05, 0.3, 1.2, 2.0, 8.0, 32.0, 80.0]))

    divisors = [1, 1, 8, 17.213, 17.213, 17.213 / 8, 1]  # (1.2 / 0.3)^1.5, (2 / 0.3)^1.5, and the latter / (32 / 8)^1.5
    assert found / (1 - found) == pytest.approx([99 / divisor for divisor in divisors], rel=1e-4)
    assert score(np.ones(1), np.array([40.0])) == 1


def test_a_large_candidate_needs_a_higher_probability_than_a_small_one() -> None:
    probability = np.zeros((1, 40, 40), np.float32)
    probability[0, 2:4, 2:4] = probability[0, 10:38, 10:38] = 0.6
    probability[0, 2, 2] = probability[0, 20, 20] = 0.95

    kept = outlined(probability, 0.5, 0.9, voxel_ml=0.01)

    assert kept.sum() == 4
    assert kept[0, 2:4, 2:4].all()
    assert outlined(probability, 0.5, 0.52, voxel_ml=0.01).sum() == 4 + 28 * 28  # odds of 19 / 17.2
