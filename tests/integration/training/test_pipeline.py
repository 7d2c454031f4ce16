"""`python -m training pipeline`: from a data set to a model with one command."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from models.lung_tumour.kinds import RELEASED
from models.registry import check_model, load_model
from models.segmenter import ON_CPU
from tests.fixtures.nifti import read_nifti, write_nifti
from tests.fixtures.training.msd_data import write_msd
from training.cli import app
from training.data.splits import PARTS

ROOT = Path(__file__).parents[3]
PATIENTS = 5
SHAPE, SPACING_MM = (8, 38, 48), (5.0, 6.0, 7.5)
"""A slab of few, coarse pixels: the time goes into prediction, every 2.5 mm of its height."""
SHORT = (
    *("--steps", "4", "--crop", "32", "--checkpoint-every", "2", "--chests", "0", "--shown", "1", "--device", "cpu"),
    *("--name", "mine", "--version", "1.0", "--licence", "CC0-1.0"),
)
IMAGE, LABEL = "imagesTr/lung_002.nii.gz", "labelsTr/lung_002.nii.gz"


def arguments(data: Path, run: Path, out: Path) -> list[str]:
    return ["pipeline", "--source", f"msd:{data}", "--run", str(run), "--out", str(out), *SHORT]


def pipeline(data: Path, run: Path, out: Path, *more: str) -> Result:
    return CliRunner().invoke(app, [*arguments(data, run, out), *more], catch_exceptions=False)


def steps(output: str) -> list[str]:
    return re.findall(r"^(prepare|train|evaluate|figures|export)$", output, re.MULTILINE)


def curve(run: Path) -> list[tuple[str, str]]:
    with (run / "curve.csv").open() as file:
        return [(row["step"], row["loss"]) for row in csv.DictReader(file)]


def sources(run: Path) -> dict[str, Any]:
    by_source: dict[str, Any] = json.loads((run / "evaluation" / "evaluation.json").read_text())["sources"]
    return by_source


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("msd")
    write_msd(folder, patients=PATIENTS, shape=SHAPE, spacing_mm=SPACING_MM)
    content = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps({**content, "licence": "CC-BY-SA 4.0"}))
    return folder


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Result]:
    """An uninterrupted pipeline: its run, its model and its output."""
    folder = tmp_path_factory.mktemp("made")
    result = pipeline(data, folder / "run", folder / "model")
    assert result.exit_code == 0, result.output
    return folder / "run", folder / "model", result


def test_one_command_makes_a_model_that_the_worker_can_load(made: tuple[Path, Path, Result]) -> None:
    run, model, result = made

    assert steps(result.output) == ["prepare", "train", "evaluate", "figures", "export"]
    assert "train: 3 patients" in result.output
    card = check_model(f"lung_tumour:{model}", ON_CPU).card
    assert (card.name, card.version, card.licence, card.network) == ("mine", "1.0", "CC0-1.0", RELEASED)
    assert load_model(f"lung_tumour:{model}", ON_CPU).card == card
    evaluation = json.loads((run / "evaluation" / "evaluation.json").read_text())
    assert evaluation["model"]["weights_sha256"] == card.weights_sha256
    assert (run / "evaluation" / "report.html").is_file()
    assert {path.suffix for path in (run / "figures").iterdir()} == {".png", ".gif", ".html"}


def test_every_patient_is_in_one_part_and_only_the_test_part_is_evaluated(made: tuple[Path, Path, Result]) -> None:
    run, model, _ = made
    split = json.loads((model / "splits.json").read_text())["msd"]
    evaluated = {case["case"] for case in sources(run)["msd"]["per_case"]}

    assert sorted(patient for part in PARTS for patient in split[part]) == [f"lung_{n:03d}" for n in range(1, 6)]
    assert evaluated == set(split["test"])


def test_the_card_has_data_licences_cases_splits_figures_limits_and_budget(
    made: tuple[Path, Path, Result],
) -> None:
    run, model, _ = made
    card = (model / "README.md").read_text()
    split = json.loads((model / "splits.json").read_text())["msd"]
    figures = sources(run)["msd"]["over_cases"]["dice_mean"]
    slices = PATIENTS * SHAPE[0]

    assert card.startswith("# Model card: mine 1.0\n")
    assert f"| msd | CC-BY-SA 4.0 | {PATIENTS} | {PATIENTS} | {slices} |" in card
    for part in PARTS:
        assert f"* msd, {part}: {len(split[part])}: {', '.join(split[part])}" in card
    assert f"| msd | dice mean | {figures['value']} (no interval) | 1 | 1 |" in card
    assert "Below 20 patients" in card
    assert "8 bits" not in card  # only for the slice collections
    assert re.search(r"\* 4 steps in \d+ s on CPU", card)
    assert sorted(path.name for path in model.iterdir()) == [
        "README.md",
        "curves.png",
        "lung_tumour.safetensors",
        "model.toml",
        "splits.json",
    ]


def test_finished_steps_are_not_repeated(data: Path, made: tuple[Path, Path, Result]) -> None:
    run, model, _ = made
    before = {path: path.stat().st_mtime_ns for folder in (run, model) for path in folder.rglob("*.*")}

    again = pipeline(data, run, model)

    assert again.output.count("done already") == 4
    assert f"0 stacks read, {PATIENTS} were in the cache" in again.output
    after = {path: path.stat().st_mtime_ns for folder in (run, model) for path in folder.rglob("*.*")}
    changed = {path.relative_to(run).parts[0] for path in before if before[path] != after.get(path)}
    assert changed <= {"data"}  # its manifest is written again with the same content


def test_only_missing_outputs_are_made_again(data: Path, made: tuple[Path, Path, Result]) -> None:
    run, model, _ = made
    weights = (run / "average.pt").stat().st_mtime_ns
    shutil.rmtree(model)

    again = pipeline(data, run, model)

    assert again.output.count("done already") == 3
    assert check_model(f"lung_tumour:{model}", ON_CPU).card.version == "1.0"
    assert (run / "average.pt").stat().st_mtime_ns == weights


def test_a_pipeline_killed_at_every_step_continues_to_the_same_result(
    data: Path, made: tuple[Path, Path, Result], tmp_path: Path
) -> None:
    run, model = tmp_path / "run", tmp_path / "model"
    command = [sys.executable, "-m", "training", *arguments(data, run, model)]

    for step in ("prepare", "train", "evaluate", "figures", "export"):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as begun:
            assert begun.stdout is not None
            assert any(line == f"{step}\n" for line in begun.stdout)
            os.kill(begun.pid, signal.SIGKILL)
        if step != "export":  # may be finished already: it only copies
            assert begun.returncode == -signal.SIGKILL
            assert not model.exists()
    last = pipeline(data, run, model)

    assert last.exit_code == 0
    assert last.output.count("done already") >= 3
    assert curve(run) == curve(made[0])
    assert sources(run) == sources(made[0])
    assert (model / "lung_tumour.safetensors").read_bytes() == (made[1] / "lung_tumour.safetensors").read_bytes()
    assert not list(tmp_path.rglob("*.partial"))


def test_a_run_continues_only_with_the_same_data(data: Path, made: tuple[Path, Path, Result], tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    shutil.copytree(made[0], tmp_path / "run")
    label = read_nifti(tmp_path / "data" / LABEL)
    write_nifti(tmp_path / "data" / LABEL, np.zeros_like(label.stored), label.affine)

    refused = pipeline(tmp_path / "data", tmp_path / "run", tmp_path / "model")

    assert refused.exit_code == 2
    assert refused.stderr.endswith("the run there has other settings: data\n")


def test_a_folder_with_other_content_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("years of work")

    refused = pipeline(data, tmp_path / "run", tmp_path / "model")

    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "already exists and is not a model folder" in refused.stderr
    assert (tmp_path / "model" / "thesis.txt").read_text() == "years of work"


def test_all_invalid_options_are_reported_before_data_is_read(tmp_path: Path) -> None:
    refused = pipeline(tmp_path / "nowhere", tmp_path / "run", tmp_path / "model", "--network", "2d", "--crop", "40")

    assert refused.exit_code == 2
    assert refused.stderr.splitlines() == [
        "pipeline: --network 2d: expected one of 2.5d, 2.5d-residual, 2.5d-efficientnet, 3d",
        "pipeline: --crop 40: a multiple of 32 is needed",
    ]


# -- wrong data --


def change(path: str, by: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def broken(folder: Path) -> None:
        file = read_nifti(folder / path)
        write_nifti(folder / path, by(file.stored), file.affine)

    return broken


def seven(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array[3, 3, 3] = 7
    return array


def shift(folder: Path) -> None:
    label = read_nifti(folder / LABEL)
    affine = label.affine.copy()
    affine[2, 3] += 40
    write_nifti(folder / LABEL, label.stored, affine)


def cut(folder: Path) -> None:
    content = (folder / IMAGE).read_bytes()
    with pytest.raises(EOFError):
        gzip.decompress(content[: len(content) * 2 // 3])
    (folder / IMAGE).write_bytes(content[: len(content) * 2 // 3])


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "a missing label": (lambda folder: (folder / LABEL).unlink(), f"{LABEL}: listed in dataset.json, but missing"),
    "a 4D image": (change(IMAGE, lambda array: array[..., None]), f"{IMAGE}: has 4 axes"),
    "label value 7": (change(LABEL, seven), f"{LABEL}: label value 7 in 1 voxel(s)"),
    "a mismatched affine": (shift, f"{LABEL}: its affine places voxels 40.00 mm from"),
    "a truncated gzip": (cut, f"{IMAGE}: truncated gzip"),
}


@pytest.mark.parametrize(("broken", "named"), BROKEN.values(), ids=BROKEN.keys())
def test_invalid_data_is_refused_with_its_name_before_training(
    data: Path, tmp_path: Path, broken: Callable[[Path], None], named: str
) -> None:
    shutil.copytree(data, tmp_path / "data")
    broken(tmp_path / "data")

    refused = pipeline(tmp_path / "data", tmp_path / "run", tmp_path / "model")

    assert (refused.exit_code, steps(refused.stdout)) == (2, ["prepare"])
    assert [line.startswith(f"pipeline: msd:{tmp_path / 'data'}: {named}") for line in refused.stderr.splitlines()] == [
        True
    ]
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "model").exists()


def test_two_patients_are_too_few_for_training(tmp_path: Path) -> None:
    write_msd(tmp_path / "data", patients=2)

    refused = pipeline(tmp_path / "data", tmp_path / "run", tmp_path / "model")

    assert refused.exit_code == 2
    assert "no patient of the data is in validation; at least three patients are needed" in refused.stderr
    assert not (tmp_path / "run" / "run.json").exists()


def test_data_without_any_tumour_is_refused(tmp_path: Path) -> None:
    write_msd(tmp_path / "data", patients=4)
    for path in (tmp_path / "data" / "labelsTr").iterdir():
        change(f"labelsTr/{path.name}", np.zeros_like)(tmp_path / "data")

    refused = pipeline(tmp_path / "data", tmp_path / "run", tmp_path / "model")

    assert refused.exit_code == 2
    assert "no stack of the training part has a tumour" in refused.stderr
    assert not (tmp_path / "run" / "run.json").exists()


def test_single_commands_make_the_same_model_and_the_pipeline_continues_them(data: Path, tmp_path: Path) -> None:
    run, cache, model, extra = (str(tmp_path / name) for name in ("run", "run/data", "model", "run/inserted"))
    source, facts = f"msd:{data}", ("--name", "mine", "--version", "1.0", "--licence", "CC0-1.0")
    for command in (
        ("prepare", "--source", source, "--cache", cache),
        ("insert", "--data", cache, "--out", extra, "--copies", "2"),
        (
            "train",
            "--data",
            cache,
            "--extra-data",
            extra,
            "--run",
            run,
            "--steps",
            "2",
            "--crop",
            "32",
            "--device",
            "cpu",
        ),
        ("evaluate", "--data", cache, "--run", run, "--model", "run", "--chests", "0"),
        ("figures", "--run", run, "--data", cache, "--case", "lung_001", "--model", "run"),
        ("export", "--data", cache, "--run", run, "--out", model, *facts),
    ):
        result = CliRunner().invoke(app, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    weights = (tmp_path / "model" / "lung_tumour.safetensors").read_bytes()
    assert "| msd | dice mean | " in (tmp_path / "model" / "README.md").read_text()
    assert (tmp_path / "run" / "figures" / "lung_001-four.png").is_file()

    drawn = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["recipe"]
    assert {share["source"] for share in drawn} == {"msd", "synthetic"}

    more = ("--inserted", "2", "--steps", "2", "--checkpoint-every", "500")
    after = pipeline(data, tmp_path / "run", tmp_path / "model", *more)

    assert after.exit_code == 0, after.output
    assert (tmp_path / "model" / "lung_tumour.safetensors").read_bytes() == weights

    written = {path: path.stat().st_mtime_ns for path in Path(extra).rglob("*.b2nd")}
    again = pipeline(data, tmp_path / "run", tmp_path / "model", *more)
    assert written
    assert {path: path.stat().st_mtime_ns for path in Path(extra).rglob("*.b2nd")} == written
    assert again.output.count("done already") == 5


def test_the_pipeline_supports_the_3d_network(tmp_path: Path) -> None:
    write_msd(tmp_path / "data", patients=3, shape=(8, 28, 40), spacing_mm=(8.0, 4.0, 5.0))

    result = pipeline(tmp_path / "data", tmp_path / "run", tmp_path / "model", "--network", "3d", "--steps", "2")

    assert result.exit_code == 0, result.output
    card = check_model(f"lung_tumour:{tmp_path / 'model'}", ON_CPU).card
    assert card.network == "3d"
    assert load_model(f"lung_tumour:{tmp_path / 'model'}", ON_CPU).card == card
    assert "| network | MONAI BasicUNet in 3D" in (tmp_path / "model" / "README.md").read_text()


def test_a_card_needs_a_cache(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"settings": {}}')

    refused = CliRunner().invoke(
        app, ["export", "--data", str(tmp_path), "--run", str(tmp_path), "--out", str(tmp_path / "m")]
    )

    assert refused.exit_code == 2
    assert "a cache written by prepare" in refused.output
