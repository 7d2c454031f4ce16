import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fixtures.nifti import write_nifti

pytest.importorskip(
    "nnunetv2.inference.predict_from_raw_data", reason="the extra `nnunet` is not installed", exc_type=ImportError
)  # `make bench` installs a part of it

import torch

from models.external.nnunet import facing, trained_orientation
from models.external.nnunet_folder import read_nnunet
from models.registry import check_model, load_model, model_card
from models.segmenter import ON_CPU, EngineName, InferenceSettings, ModelError
from models.volume import Volume
from tests.fixtures.models.pinned import load_pinned
from tests.fixtures.models.trained_nnunet import LABELS, chest, predicted_by_nnunet, trained, write_upright
from tests.fixtures.models.unsafe_pickle import UnsafePickle

TUMOUR = LABELS["cancer"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model trained here by nnU-Net: two folds, 25 steps each."""
    with trained(tmp_path_factory.mktemp("nnunet")) as made:
        yield made


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """A folder to change, with one fold."""
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("fold_1", "*.txt", "*.png"))
    return copy


def upright(hu: NDArray[np.int16], spacing: tuple[float, float, float]) -> Volume:
    affine = np.array([[0, 0, spacing[2], -30], [0, spacing[1], 0, -20.5], [spacing[0], 0, 0, 7.25], [0, 0, 0, 1.0]])
    return Volume(hu=hu.astype(np.float32), affine=affine)


def flipped(volume: Volume, axes: tuple[int, ...]) -> Volume:
    affine = volume.affine.copy()
    for axis in axes:
        affine[:3, 3] += affine[:3, axis] * (volume.hu.shape[axis] - 1)
        affine[:3, axis] *= -1
    return Volume(hu=np.flip(volume.hu, axes).copy(), affine=affine)


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def write_options(folder: Path, **options: object) -> None:
    (folder / "lungspread.json").write_text(json.dumps(options))


@pytest.mark.parametrize(
    ("shape", "spacing"),
    [((20, 40, 32), (2.0, 1.0, 1.0)), ((9, 40, 44), (5.0, 0.7, 0.9))],
    ids=["as trained", "anisotropic"],
)
def test_a_folder_marks_the_same_as_nnunets_own_predictor(
    folder: Path, shape: tuple[int, int, int], spacing: tuple[float, float, float], tmp_path: Path
) -> None:
    hu, truth = chest(11, shape)
    write_upright(hu, tmp_path / "ct.nii.gz", spacing)
    shares: list[float] = []
    mask = load_pinned(f"nnunet:{folder}", ON_CPU).segment(upright(hu, spacing), shares.append)
    expected = predicted_by_nnunet(folder, tmp_path / "ct.nii.gz")

    assert 0.005 < (expected == TUMOUR).mean() < 0.2
    assert dice(mask.voxels, expected == TUMOUR) >= 0.999
    assert dice(mask.voxels, truth == TUMOUR) > 0.5
    assert len(shares) > 16
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_either_engine_averages_the_same_folds(folder: Path, engine: EngineName) -> None:
    volume = upright(chest(11)[0], (2.0, 1.0, 1.0))
    model = load_pinned(f"nnunet:{folder}", InferenceSettings(device="cpu", engine=engine))
    mask = model.segment(volume, lambda _: None).voxels
    by_auto = load_pinned(f"nnunet:{folder}", ON_CPU).segment(volume, lambda _: None).voxels

    assert model.card.engine.lower().startswith(engine)
    assert dice(mask, by_auto) >= 0.999


@pytest.mark.parametrize("axes", [(0,), (0, 1), (2,)], ids=["feet first", "prone", "columns"])
def test_a_flipped_stack_is_turned_to_the_training_orientation(
    copied: Path, axes: tuple[int, ...], tmp_path: Path
) -> None:
    write_options(copied, mirroring=False)  # mirroring would hide the effect of a flip
    volume = upright(chest(12)[0], (2.0, 1.0, 1.0))
    write_upright(volume.hu, tmp_path / "upright.nii.gz")
    write_upright(np.flip(volume.hu, axes).copy(), tmp_path / "flipped.nii.gz")
    turned = flipped(volume, axes)
    mask = load_pinned(f"nnunet:{copied}", ON_CPU).segment(turned, lambda _: None)
    expected = predicted_by_nnunet(copied, tmp_path / "upright.nii.gz", mirroring=False) == TUMOUR
    not_turned = predicted_by_nnunet(copied, tmp_path / "flipped.nii.gz", mirroring=False) == TUMOUR

    assert dice(mask.voxels, np.flip(expected, axes)) >= 0.999
    assert dice(not_turned, np.flip(expected, axes)) < 0.999
    assert np.array_equal(mask.affine, turned.affine)


def test_another_label_is_marked_if_the_options_name_it(copied: Path) -> None:
    write_options(copied, tumour="opacity")
    assert read_nnunet(copied).tumour == [LABELS["opacity"]]


def test_a_mirrored_training_orientation_is_restored(copied: Path, tmp_path: Path) -> None:
    volume = upright(chest(12)[0], (2.0, 1.0, 1.0))
    write_upright(np.flip(volume.hu, 1).copy(), tmp_path / "las.nii.gz")
    write_options(copied, mirroring=False, orientation="LAS")
    mask = load_pinned(f"nnunet:{copied}", ON_CPU).segment(volume, lambda _: None)
    expected = predicted_by_nnunet(copied, tmp_path / "las.nii.gz", mirroring=False) == TUMOUR

    assert dice(mask.voxels, np.flip(expected, 1)) >= 0.999


def test_the_training_orientation_is_read_from_a_validation_case(copied: Path) -> None:
    assert trained_orientation(read_nnunet(copied)) == "LPS"
    (copied / "fold_0" / "validation").mkdir(exist_ok=True)
    before = model_card(f"nnunet:{copied}").weights_sha256
    header = np.diag([-0.8, 0.8, 1.5, 1.0])  # as in MSD Task06_Lung: RAS+ coordinates, x runs to the left
    write_nifti(copied / "fold_0" / "validation" / "lung_000.nii.gz", np.zeros((2, 2, 2), np.uint8), header)

    assert trained_orientation(read_nnunet(copied)) == "LAS"
    assert model_card(f"nnunet:{copied}").weights_sha256 != before
    write_options(copied, orientation="RAS")
    assert trained_orientation(read_nnunet(copied)) == "RAS"


@pytest.mark.parametrize("letters", ["LPS", "LAS", "RAS", "RPI", "SAR", "PIL"])
@pytest.mark.parametrize("stored", list(product((1, -1), repeat=3)))
def test_axes_run_in_the_directions_of_the_letters(letters: str, stored: tuple[int, int, int]) -> None:
    lps = np.indices((3, 4, 5))  # x, y and z of each voxel, to the left, to posterior and to the head
    x, y, z = (np.flip(axis.transpose(2, 1, 0), tuple(k for k in range(3) if stored[k] < 0)) for axis in lps)
    turn = facing(np.diag([1.0, 1, 1, 1])[:, [2, 1, 0, 3]] * [*stored, 1.0], letters)
    towards = {"L": x, "R": -x, "P": y, "A": -y, "S": z, "I": -z}

    for axis, letter in zip((2, 1, 0), letters, strict=True):
        assert (np.diff(turn.upright(towards[letter]), axis=axis) == 1).all()


def test_the_card_comes_from_the_folder(folder: Path, copied: Path) -> None:
    card = model_card(f"nnunet:{folder}")

    assert card.name == "Dataset006_Lung 3d_fullres"
    assert card.weights_file == "fold_0/checkpoint_final.pth, fold_1/checkpoint_final.pth"
    assert card.version == card.weights_sha256[:12]
    assert card.licence == "CC0-1.0"
    assert replace(check_model(f"nnunet:{folder}", ON_CPU).card, engine="") == card
    one_fold = model_card(f"nnunet:{copied}")
    assert one_fold.weights_sha256 != card.weights_sha256
    write_options(copied, mirroring=False, version="2.1", smallest_lesion_ml=0.5)
    card_of_options = model_card(f"nnunet:{copied}")
    assert (card_of_options.version, card_of_options.smallest_lesion_ml) == ("2.1", 0.5)
    assert card_of_options.weights_sha256 != one_fold.weights_sha256


def test_a_checkpoint_with_code_is_rejected_and_not_executed(copied: Path, tmp_path: Path) -> None:
    checkpoint = copied / "fold_0" / "checkpoint_final.pth"
    content = torch.load(checkpoint, weights_only=False)
    torch.save({**content, "logging": UnsafePickle(tmp_path / "it-ran")}, checkpoint)

    with pytest.raises(
        ModelError, match=r"checkpoint_final\.pth is refused: it holds more than weights \(posix\.mkdir"
    ):
        load_pinned(f"nnunet:{copied}", ON_CPU)
    with pytest.raises(ModelError, match="it holds more than weights"):
        check_model(f"nnunet:{copied}", ON_CPU)
    assert not (tmp_path / "it-ran").exists()


def test_plans_with_a_class_that_is_no_network_are_rejected(copied: Path) -> None:
    plans = json.loads((copied / "plans.json").read_text())
    plans["configurations"]["3d_fullres"]["architecture"]["network_class_name"] = "subprocess.Popen"
    (copied / "plans.json").write_text(json.dumps(plans))

    with pytest.raises(ModelError, match=r"from subprocess\.Popen, which is not allowed$"):
        load_pinned(f"nnunet:{copied}", ON_CPU)
    with pytest.raises(ModelError, match=r"from subprocess\.Popen, which is not allowed$"):
        check_model(f"nnunet:{copied}", ON_CPU)


def test_a_folder_is_loaded_only_with_the_hash_of_its_files(copied: Path) -> None:
    card = model_card(f"nnunet:{copied}")

    with pytest.raises(ModelError, match=r"worker\.model_sha256 is needed; `lungspread models verify nnunet:"):
        load_model(f"nnunet:{copied}", ON_CPU)
    with pytest.raises(ModelError, match=f"its files have the hash {card.weights_sha256[:12]}"):
        load_model(f"nnunet:{copied}", ON_CPU, sha256="0" * 64)


def test_weights_of_another_network_are_rejected_in_one_line(copied: Path) -> None:
    dataset = json.loads((copied / "dataset.json").read_text())
    dataset["labels"]["vessel"] = 3
    (copied / "dataset.json").write_text(json.dumps(dataset))

    with pytest.raises(ModelError, match="nnU-Net cannot build this network: RuntimeError: ") as rejection:
        load_pinned(f"nnunet:{copied}", ON_CPU)
    assert "\n" not in str(rejection.value)


def test_without_nnunet_the_error_names_what_to_install(copied: Path) -> None:
    code = (
        "import sys; sys.modules['nnunetv2'] = None\n"
        "from models.registry import load_model\n"
        f"load_model('nnunet:{copied}', sha256='{model_card(f'nnunet:{copied}').weights_sha256}')"
    )
    root = Path(__file__).parents[4]
    ended = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)

    last = ended.stderr.strip().splitlines()[-1]
    assert last.endswith("ModelError: an nnU-Net needs nnunetv2: pip install 'lungspread[nnunet]'")
