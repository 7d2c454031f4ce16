import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray
from typer.testing import CliRunner

from models.engines.in_place import engine_network
from models.engines.networks import TrainedNetworks
from models.registry import check_model, load_model, model_card
from models.segmenter import ON_CPU, EngineName, InferenceSettings, ModelError
from models.volume import Volume
from tests.fixtures.models.pinned import load_pinned
from tests.fixtures.models.unsafe_pickle import UnsafePickle
from tests.fixtures.nifti import read_nifti, write_nifti
from worker.cli.main import app

nibabel = pytest.importorskip("nibabel", reason="the extra `monai-bundle` is not installed")
pytest.importorskip("ignite", reason="MONAI's own evaluator, the reference, needs pytorch-ignite")

pytestmark = pytest.mark.filterwarnings("ignore:NvImgCodec:UserWarning")  # from MONAI, about a reader that is not used

METADATA = {
    "version": "0.3.1",
    "monai_version": "1.6.1",
    "pytorch_version": "2.13.0",
    "numpy_version": "2.4.6",
    "name": "Tiny lung tumours",
    "license": "CC0-1.0",
    "network_data_format": {
        "inputs": {"image": {"type": "image", "num_channels": 1, "spatial_shape": [32, 32, 16]}},
        "outputs": {
            "pred": {
                "type": "image",
                "num_channels": 3,
                "spatial_shape": [32, 32, 16],
                "channel_def": {"0": "background", "1": "bone", "2": "lung tumor"},
            }
        },
    },
}
INFERENCE = {
    "imports": ["$import glob"],
    "bundle_root": ".",
    "dataset_dir": "/nowhere",
    "output_dir": "$@bundle_root + '/eval'",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "network_def": {
        "_target_": "torch.nn.Conv3d",
        "in_channels": 1,
        "out_channels": 3,
        "kernel_size": 5,
        "padding": 2,
    },
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "EnsureChannelFirstd", "keys": "image"},
            {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS", "labels": None},
            {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
            {
                "_target_": "ScaleIntensityRanged",
                "keys": "image",
                "a_min": -1000,
                "a_max": 1000,
                "b_min": 0,
                "b_max": 1,
            },
            {"_target_": "EnsureTyped", "keys": "image"},
        ],
    },
    "dataset": {
        "_target_": "Dataset",
        "data": "$[{'image': i} for i in sorted(glob.glob(@dataset_dir + '/*.nii.gz'))]",
        "transform": "@preprocessing",
    },
    "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [24, 24, 16], "sw_batch_size": 2, "overlap": 0.5},
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {
                "_target_": "Invertd",
                "keys": "pred",
                "transform": "@preprocessing",
                "orig_keys": "image",
                "nearest_interp": False,
                "to_tensor": True,
            },
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {
                "_target_": "SaveImaged",
                "keys": "pred",
                "output_dir": "@output_dir",
                "output_ext": ".nii.gz",
                "separate_folder": False,
                "output_postfix": "seg",
                "print_log": False,
            },
        ],
    },
    "handlers": [
        {
            "_target_": "CheckpointLoader",
            "load_path": "$@bundle_root + '/models/model.pt'",
            "load_dict": {"model": "@network"},
        }
    ],
    "evaluator": {
        "_target_": "SupervisedEvaluator",
        "device": "@device",
        "val_data_loader": "@dataloader",
        "network": "@network",
        "inferer": "@inferer",
        "postprocessing": "@postprocessing",
        "val_handlers": "@handlers",
    },
    "initialize": ["$monai.utils.set_determinism(123)"],
    "run": ["$@evaluator.run()"],
}


def lopsided_filter() -> dict[str, torch.Tensor]:
    """An asymmetric filter, so that a flipped image has another result; the edges are in scaled HU."""
    weight, bias = torch.zeros(3, 1, 5, 5, 5), torch.zeros(3)
    for channel, (slope, edge) in {1: (80.0, 0.55), 2: (40.0, 0.35)}.items():
        weight[channel, 0, 2:, 2:, 1:4] = slope / 27
        bias[channel] = -slope * edge
    return {"weight": weight, "bias": bias}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "tiny"
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "configs" / "metadata.json").write_text(json.dumps(METADATA))
    (folder / "configs" / "inference.json").write_text(json.dumps(INFERENCE))
    torch.save(lopsided_filter(), folder / "models" / "model.pt")
    return folder


def chest(spacing: tuple[float, float, float]) -> Volume:
    """A tumour and a bone in lung, upright, (slice, row, column)."""
    shape = (round(60 / spacing[0]), round(66 / spacing[1]), round(72 / spacing[2]))
    hu = np.random.default_rng(3).normal(-800, 40, shape).astype(np.float32)
    points = np.indices(shape).T * spacing
    hu[(np.linalg.norm(points - (25, 20, 30), axis=-1) < 11).T] = 40
    hu[(np.linalg.norm(points - (35, 50, 50), axis=-1) < 8).T] = 800
    affine = np.array([[0, 0, spacing[2], -30], [0, spacing[1], 0, -20.5], [spacing[0], 0, 0, 7.25], [0, 0, 0, 1.0]])
    return Volume(hu=np.round(hu), affine=affine)


def outlined_by_monai(bundle: Path, volume: Volume, folder: Path) -> NDArray[np.integer]:
    """Write the volume as NIfTI, run the bundle's own workflow on it, and return the labels."""
    from monai.bundle.workflows import ConfigWorkflow

    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine[:, [2, 1, 0, 3]]
    write_nifti(folder / "ct.nii.gz", volume.hu.transpose(2, 1, 0), to_ras)
    workflow = ConfigWorkflow(
        config_file=str(bundle / "configs" / "inference.json"),
        meta_file=str(bundle / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="inference",
        bundle_root=str(bundle),
        dataset_dir=str(folder),
        output_dir=str(folder / "out"),
        device="$torch.device('cpu')",
    )
    workflow.initialize()
    workflow.run()
    (made,) = (folder / "out").glob("*.nii.gz")
    return read_nifti(made).stored.squeeze().transpose(2, 1, 0)


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


@pytest.mark.parametrize("spacing", [(2.0, 1.5, 1.5), (5.0, 0.9, 1.1)], ids=["as trained", "anisotropic"])
def test_a_bundle_marks_the_same_as_its_own_workflow(
    bundle: Path, spacing: tuple[float, float, float], tmp_path: Path
) -> None:
    volume, shares = chest(spacing), list[float]()
    mask = load_pinned(f"monai_bundle:{bundle}", ON_CPU).segment(volume, shares.append)
    expected = outlined_by_monai(bundle, volume, tmp_path)

    assert 0.005 < (expected == 2).mean() < 0.2
    assert (expected == 1).any()
    assert dice(mask.voxels, expected == 2) >= 0.999
    assert np.array_equal(mask.affine, volume.affine)
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)
    assert len(shares) > 1


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_either_engine_marks_the_same(bundle: Path, engine: EngineName) -> None:
    volume = chest((2.0, 1.5, 1.5))
    model = load_pinned(f"monai_bundle:{bundle}", InferenceSettings(device="cpu", engine=engine))

    assert model.card.engine.lower().startswith(engine)
    assert model.card.engine.endswith(" float32")
    assert dice(model.segment(volume, lambda _: None).voxels, marked(bundle, volume)) >= 0.999


class TwoOutputs(torch.nn.Module):
    """Returns its input twice."""

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images, images]


def test_a_network_that_cannot_be_converted_is_left_to_its_library(caplog: pytest.LogCaptureFixture) -> None:
    networks = TrainedNetworks(key="", count=1, image_shape=(1, 8, 8, 8), build=lambda: [TwoOutputs()])

    assert engine_network(networks, ON_CPU) is None
    assert "the network is run by torch: OpenVINO" in caplog.text
    with pytest.raises(ModelError, match=r"^OpenVINO cannot"):
        engine_network(networks, InferenceSettings(device="cpu", engine="openvino"))


@pytest.fixture
def copied(bundle: Path, tmp_path: Path) -> Path:
    """A bundle to change."""
    shutil.copytree(bundle, tmp_path / "changed")
    return tmp_path / "changed"


def change(copied: Path, name: str, value: object) -> None:
    """Replace one entry of the inference configuration; None removes it."""
    file = copied / "configs" / "inference.json"
    entries = {**json.loads(file.read_text()), name: value}
    file.write_text(json.dumps({key: entry for key, entry in entries.items() if entry is not None}))


def marked(folder: Path, volume: Volume) -> NDArray[np.bool_]:
    return load_pinned(f"monai_bundle:{folder}", ON_CPU).segment(volume, lambda _: None).voxels


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2)], ids=["feet first", "prone", "rotated"])
def test_a_flipped_stack_has_the_same_tumour(bundle: Path, axes: tuple[int, ...]) -> None:
    volume = chest((2.0, 1.5, 1.5))
    affine = volume.affine.copy()
    for axis in axes:
        affine[:3, 3] += affine[:3, axis] * (volume.hu.shape[axis] - 1)
        affine[:3, axis] *= -1
    turned = Volume(hu=np.flip(volume.hu, axes).copy(), affine=affine)

    assert np.array_equal(marked(bundle, turned), np.flip(marked(bundle, volume), axes))
    assert not np.array_equal(marked(bundle, Volume(hu=turned.hu, affine=volume.affine)), marked(bundle, turned))


def test_torchscript_marks_the_same_as_the_weights(bundle: Path, copied: Path) -> None:
    network = torch.nn.Conv3d(1, 3, 5, padding=2)
    network.load_state_dict(lopsided_filter())
    (copied / "models" / "model.pt").unlink()
    traced = torch.jit.trace(network, torch.zeros(1, 1, 8, 8, 8))  # type: ignore[no-untyped-call] # not typed in torch
    torch.jit.save(traced, copied / "models" / "model.ts")
    change(copied, "network_def", None)

    assert np.array_equal(marked(copied, chest((2.0, 1.5, 1.5))), marked(bundle, chest((2.0, 1.5, 1.5))))
    assert model_card(f"monai_bundle:{copied}").weights_file == "models/model.ts"


def test_a_channel_of_probabilities_is_thresholded_at_one_half(bundle: Path, copied: Path) -> None:
    inverted = INFERENCE["postprocessing"]["transforms"][:2]  # type: ignore[index]
    change(copied, "postprocessing", {"_target_": "Compose", "transforms": inverted})
    volume = chest((2.0, 1.5, 1.5))

    assert dice(marked(copied, volume), marked(bundle, volume)) > 0.98


def test_the_card_comes_from_the_metadata(bundle: Path, copied: Path) -> None:
    card = model_card(f"monai_bundle:{bundle}")

    assert (card.name, card.version, card.licence) == ("Tiny lung tumours", "0.3.1", "CC0-1.0")
    assert replace(check_model(f"monai_bundle:{bundle}", ON_CPU).card, engine="") == card
    change(copied, "inferer", {"_target_": "SimpleInferer"})
    assert model_card(f"monai_bundle:{copied}").weights_sha256 != card.weights_sha256


@pytest.fixture
def with_code(copied: Path, tmp_path: Path) -> Path:
    """A bundle that makes the folder `it-ran` as soon as its configuration is evaluated, by either way."""
    change(copied, "imports", [f"$__import__('pathlib').Path({str(tmp_path / 'it-ran')!r}).mkdir(exist_ok=True)"])
    change(copied, "inferer", {"_target_": "os.makedirs", "name": str(tmp_path / "it-ran"), "exist_ok": True})
    return copied


def test_no_check_executes_a_bundle(with_code: Path, tmp_path: Path) -> None:
    (tmp_path / "lungspread.toml").write_text(f'[node]\ndata_dir = "{tmp_path}/var"\n')
    name, config = f"monai_bundle:{with_code}", ["--config", str(tmp_path / "lungspread.toml")]
    os.environ |= (variables := {"LUNGSPREAD_WORKER__MODEL": name, "LUNGSPREAD_WORKER__MODEL_SHA256": "0" * 64})
    try:
        done = [
            CliRunner().invoke(app, arguments)
            for arguments in (["models", "verify", str(with_code)], ["models", "show", name], ["doctor", *config])
        ]
    finally:
        for variable in variables:
            del os.environ[variable]

    assert [one.exit_code for one in done] == [0, 0, 1]
    pin = model_card(name).weights_sha256
    assert f'model = "{name}"\nmodel_sha256 = "{pin}"' in done[0].output
    assert "worker.model_sha256 is 000000000000" in done[2].output
    assert not (tmp_path / "it-ran").exists()

    load_model(name, ON_CPU, sha256=pin)  # and here it runs
    assert (tmp_path / "it-ran").exists()


def test_a_bundle_is_executed_only_with_the_hash_of_all_its_files(with_code: Path, tmp_path: Path) -> None:
    name, before = f"monai_bundle:{with_code}", model_card(f"monai_bundle:{with_code}").weights_sha256
    with pytest.raises(ModelError, match=r"worker\.model_sha256 is needed; `lungspread models verify monai_bundle:"):
        load_model(name, ON_CPU)
    for added in ("scripts/more.txt", "data", "models/other.bin"):
        (with_code / added).parent.mkdir(exist_ok=True)
        (with_code / added).write_text("what a configuration may open")
        with pytest.raises(ModelError, match=f"worker.model_sha256 is {before[:12]}"):
            load_model(name, ON_CPU, sha256=before)
        (with_code / added).unlink()
    (with_code / "linked").symlink_to(tmp_path)
    with pytest.raises(ModelError, match="a link to a folder, whose files the hash would not cover"):
        load_model(name, ON_CPU, sha256=before)
    assert not (tmp_path / "it-ran").exists()


def test_a_configuration_in_yaml_is_read_as_data(copied: Path, tmp_path: Path) -> None:
    file = copied / "configs" / "inference.json"
    entries = yaml.safe_dump(json.loads(file.read_text()))
    file.unlink()
    file.with_suffix(".yaml").write_text(entries)
    assert check_model(f"monai_bundle:{copied}", ON_CPU).card.weights_file == "models/model.pt"

    ran = tmp_path / "it-ran"
    file.with_suffix(".yaml").write_text(f"{entries}\nextra: !!python/object/apply:os.mkdir ['{ran}']\n")
    with pytest.raises(ModelError, match=r"inference\.yaml: not YAML$"):
        check_model(f"monai_bundle:{copied}", ON_CPU)
    assert not ran.exists()


@pytest.mark.parametrize("name", ["preprocessing", "postprocessing", "inferer", "network_def"])
def test_a_check_names_the_part_that_a_configuration_lacks(copied: Path, name: str) -> None:
    for key in {"preprocessing": ("preprocessing", "dataset"), "postprocessing": ("postprocessing", "evaluator")}.get(
        name, (name,)
    ):
        change(copied, key, None)

    with pytest.raises(ModelError, match=f"lacks {name}"):
        check_model(f"monai_bundle:{copied}", ON_CPU)


def test_weights_with_code_are_rejected_and_not_executed(copied: Path, tmp_path: Path) -> None:
    torch.save({"model": UnsafePickle(tmp_path / "it-ran")}, copied / "models" / "model.pt")

    with pytest.raises(ModelError, match=r"model\.pt is refused: it holds more than weights \(posix\.mkdir"):
        load_pinned(f"monai_bundle:{copied}", ON_CPU)
    with pytest.raises(ModelError, match="it holds more than weights"):
        check_model(f"monai_bundle:{copied}", ON_CPU)
    assert not (tmp_path / "it-ran").exists()


def test_a_bundle_that_cannot_be_built_is_rejected_in_one_line(copied: Path) -> None:
    change(copied, "inferer", {"_target_": "NoSuchInferer"})

    with pytest.raises(ModelError, match=r"cannot build this bundle: .*NoSuchInferer") as rejection:
        load_pinned(f"monai_bundle:{copied}", ON_CPU)
    assert "\n" not in str(rejection.value)


@pytest.mark.parametrize("name", ["preprocessing", "postprocessing", "inferer", "network_def"])
def test_a_configuration_without_a_part_is_rejected_with_its_name(copied: Path, name: str) -> None:
    change(copied, name, None)

    with pytest.raises(ModelError, match=f"cannot build this bundle: .*{name}"):
        load_pinned(f"monai_bundle:{copied}", ON_CPU)


def test_a_bundle_that_does_not_return_the_images_grid_is_rejected(copied: Path) -> None:
    change(copied, "postprocessing", {"_target_": "AsDiscreted", "keys": "pred", "argmax": True})

    with pytest.raises(ModelError, match="does not return the image's grid"):
        marked(copied, chest((5.0, 0.9, 1.1)))
