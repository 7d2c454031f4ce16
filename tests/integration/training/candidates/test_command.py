"""`python -m training candidates`, from a model and chests to a model with a candidate network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from models.lung_tumour.network import build_network
from models.registry import load_model, verify_files
from models.segmenter import ON_CPU, ModelError, read_card
from models.volume import Volume
from tests.fixtures.training.short_run import phantom_stack
from training.cli import app
from training.evaluation.predict import OperatingPoint
from training.export.weights import ModelFacts, export
from worker.phantom.chest import PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model folder with one untrained network."""
    torch.manual_seed(1)
    torch.save(build_network("2.5d").state_dict(), tmp_path / "average.pt")
    folder = tmp_path / "model"
    folder.mkdir()
    point = OperatingPoint(threshold=0.5, peak_threshold=0.5)
    export([tmp_path / "average.pt"], folder, ModelFacts(name="small", version="1"), point)
    return folder


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    write_series(tmp_path / "ct", chest_phantom(PhantomSpec(shape=(6, 64, 80), spacing_mm=(12.0, 4.0, 5.0))))
    return tmp_path / "ct"


def run(model: Path, *more: str) -> Result:
    options = ("--phantoms", "0", "--steps", "1", "--device", "cpu", "--num-workers", "0")
    return CliRunner().invoke(app, ["candidates", "--model", f"lung_tumour:{model}", *options, *more])


def test_the_trained_network_is_part_of_the_model(model: Path, scan: Path, tmp_path: Path) -> None:
    before = read_card(model / "model.toml")

    for _ in range(2):  # the second time it is replaced
        done = run(model, "--run", str(tmp_path / "run"), "--scan", str(scan), "--install")
        assert done.exit_code == 0, done.output

    card = read_card(model / "model.toml")
    assert card.candidate_sha256 in done.output
    assert replace(card, candidate_file="", candidate_sha256="") == before
    assert (model / "model.toml").read_text().count("candidate_file") == 1
    hu = np.asarray(phantom_stack().hu, np.float32)
    affine = np.array([[0, 0, 2.2, 0], [0, 2.2, 0, 0], [5.0, 0, 0, 0], [0, 0, 0, 1]])
    mask = load_model(f"lung_tumour:{model}", ON_CPU).segment(Volume(hu=hu, affine=affine), lambda _: None)
    assert mask.voxels.shape == hu.shape


def test_a_changed_candidate_network_is_refused(model: Path, scan: Path, tmp_path: Path) -> None:
    assert run(model, "--run", str(tmp_path / "run"), "--scan", str(scan), "--install").exit_code == 0
    card = read_card(model / "model.toml")
    with (model / card.candidate_file).open("ab") as file:
        file.write(b"0")

    with pytest.raises(ModelError, match=r"the SHA-256 of candidates\.safetensors is"):
        verify_files(f"lung_tumour:{model}", card)


def test_a_folder_without_a_series_is_named(model: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()

    refused = run(model, "--run", str(tmp_path / "run"), "--scan", str(tmp_path / "nothing"))

    assert refused.exit_code == 2
    assert refused.stderr.startswith("candidates: nothing: ")


def test_nothing_to_train_on_is_refused(model: Path, tmp_path: Path) -> None:
    refused = run(model, "--run", str(tmp_path / "run"))

    assert (refused.exit_code, refused.stderr) == (
        2, "candidates: no scan to train on: give --data, --scan or --phantoms\n",
    )  # fmt: skip
