"""Cross-validation on generated data: which network evaluates a patient, and the model of all networks."""

from __future__ import annotations

import functools
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import find_objects
from typer.testing import CliRunner, Result

from models.engines.torch_engine import TorchEngine
from models.lung_tumour.ensemble import Ensemble
from models.lung_tumour.network import build_network
from models.lung_tumour.predictors import SlicePredictor
from models.lung_tumour.scoring import outlined
from models.lung_tumour.segmenter import LungTumourSegmenter
from models.lungs.field import lung_field
from models.registry import load_model
from models.segmenter import ON_CPU, InferenceSettings
from tests.fixtures.training.short_run import phantom_stack, settings
from training.cli import app
from training.data.cache import close, read_stacks, write_stack
from training.data.splits import as_text
from training.data.volume import Stack
from training.evaluation.evaluate import training_stacks
from training.evaluation.predict import OperatingPoint
from training.export.weights import ModelFacts, export
from training.optimise.settings import TrainingSettings
from training.optimise.train import train
from training.readers.case import DataRefused

PATIENTS = ("a", "b", "c", "d")
SPLIT = {
    "msd": {"train": list(PATIENTS), "validation": [], "test": [], "fold-0": ["a", "b"], "fold-1": ["c", "d"]},
    "lidc": {"train": [], "validation": ["v"], "test": []},
}

EXACT = InferenceSettings(device="cpu", precision="float32", cascade=False)


def stack_of(patient: str, source: str) -> Stack:
    """The phantom with shifted rows for each patient; four slices, thin enough for one position each."""
    phantom, number = phantom_stack(), ord(patient) % 4
    hu, mask = np.roll(phantom.hu[1:5], 8 * number, 1), np.roll(phantom.mask[1:5], 8 * number, 1)
    thin = replace(phantom, hu=hu, mask=mask, spacing_mm=(2.5, *phantom.spacing_mm[1:]))
    return replace(thin, source=source, patient=patient, name=patient, whole=source == "msd")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    stacks = [*(stack_of(patient, "msd") for patient in PATIENTS), stack_of("v", "lidc")]
    close(folder, [write_stack(folder, stack, {}, "made") for stack in stacks], as_text(SPLIT))
    return folder


@pytest.fixture(scope="module")
def runs(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for fold in (0, 1):
        stacks = training_stacks(cache, Path("none"), fold)
        train([replace(stack, source="phantom") for stack in stacks], folder / f"fold-{fold}", of_fold(fold))
        spread_logits(folder / f"fold-{fold}", stacks[0])
    return folder


@pytest.fixture(scope="module")
def found(cache: Path, runs: Path) -> dict[str, Any]:
    result = run_cross_validate(cache, runs, "--results", str(runs / "results.json"), "--version", "3")
    assert result.exit_code == 0, result.output
    assert "msd: mean Dice" in result.output
    read: dict[str, Any] = json.loads((runs / "results.json").read_text())
    return read


def of_fold(fold: int) -> TrainingSettings:
    return replace(settings(steps=2), fold=fold, seed=fold + 1)


def spread_logits(run: Path, stack: Stack) -> None:
    """Rescale the output of a barely trained network: logits of mean -2 and standard deviation 3 on a stack."""
    predicted, weights = logits(of_run(run, stack)[lungs_of(stack)]), average(run)
    weights["final_conv.weight"] *= 3 / predicted.std()
    weights["final_conv.bias"] = (weights["final_conv.bias"] - predicted.mean()) * 3 / predicted.std() - 2
    torch.save(weights, run / "average.pt")


def of_run(run: Path, stack: Stack) -> np.ndarray:
    """The prediction of a run's weights for a stack and its mirror image, without the product's model loading."""
    network = build_network()
    network.load_state_dict(torch.load(run / "average.pt", weights_only=True))
    near = np.zeros(stack.hu.shape, bool)
    near[lungs_of(stack)] = True
    alone = Ensemble([TorchEngine(network, torch.device("cpu"), torch.float32)], flip_tta=False)
    hu, predictor = np.asarray(stack.hu, np.float32), SlicePredictor(alone, 16)
    seen, mirrored = (
        logits(predictor.probability(np.ascontiguousarray(image), stack.spacing_mm, lambda _: None))
        for image in (hu, np.flip(hu, 2))
    )
    return np.asarray(1 / (1 + np.exp(-(seen + np.flip(mirrored, 2)) / 2)), np.float32) * near


@functools.cache
def of_trained_run(run: Path, patient: str) -> np.ndarray:
    """The prediction of a fold's final weights for a patient of `msd`."""
    return of_run(run, stack_of(patient, "msd"))


def logits(probability: np.ndarray) -> np.ndarray:
    predicted = probability.astype(np.float64)
    return np.asarray(np.log(predicted / (1 - predicted)))


def lungs_of(stack: Stack) -> tuple[slice, ...]:
    """The box of the lungs with 24 mm around, found by scipy; everything for a crop."""
    if not stack.whole:
        return (slice(None),) * 3
    (box,) = find_objects(lung_field(np.asarray(stack.hu, np.float32), stack.spacing_mm).astype(int))
    around = [round(24 / size) for size in stack.spacing_mm]
    return tuple(slice(max(0, one.start - more), one.stop + more) for one, more in zip(box, around, strict=True))


def run_cross_validate(cache: Path, runs: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["cross-validate", "--data", str(cache), "--runs", str(runs), *more])


def test_a_fold_is_trained_on_the_patients_of_the_other_folds(cache: Path) -> None:
    assert {stack.patient for stack in training_stacks(cache, Path("none"), 1)} == {"a", "b"}
    assert {stack.patient for stack in training_stacks(cache, Path("none"), None)} == set(PATIENTS)
    with pytest.raises(DataRefused, match="no collection has a fold 2"):
        training_stacks(cache, Path("none"), 2)


def test_each_patient_is_evaluated_once_by_the_network_that_held_it_back(
    cache: Path, runs: Path, found: dict[str, Any]
) -> None:
    """At the operating point of the result, its Dice is the one that numpy computes from that network's weights."""
    stacks = {stack.patient: stack for stack in read_stacks(cache)}
    evaluated = [(k, case) for k, fold in enumerate(found["folds"]) for case in fold["sources"]["msd"]["per_case"]]

    assert sorted(case["case"] for _, case in evaluated) == sorted(PATIENTS)
    assert all(case["case"] in SPLIT["msd"][f"fold-{k}"] for k, case in evaluated)
    for k, case in evaluated:
        stack, point = stacks[case["case"]], found["folds"][k]["operating_point"]
        marked = outlined(
            of_trained_run(runs / f"fold-{k}", case["case"]),
            point["threshold"],
            point["peak_threshold"],
            stack.voxel_ml,
        )
        overlap = 2 * (marked & np.asarray(stack.mask)).sum() / (marked.sum() + np.asarray(stack.mask).sum())
        assert case["dice"] == pytest.approx(overlap, abs=1e-3)


def test_the_figures_together_are_the_means_over_all_folds(found: dict[str, Any]) -> None:
    dice = [case["dice"] for fold in found["folds"] for case in fold["sources"]["msd"]["per_case"]]

    assert found["together"]["msd"]["dice_mean"]["value"] == pytest.approx(np.mean(dice), abs=1e-4)
    assert found["together"]["msd"]["dice_mean"]["cases"] == len(PATIENTS)


def test_alone_is_the_dice_at_points_chosen_on_the_other_folds(cache: Path, runs: Path, found: dict[str, Any]) -> None:
    stacks = {stack.patient: stack for stack in read_stacks(cache)}
    alone = found["alone"]["msd"]
    dice = []
    for k, point in enumerate(alone["operating_points"]):
        for patient in SPLIT["msd"][f"fold-{k}"]:
            stack = stacks[patient]
            predicted = of_trained_run(runs / f"fold-{k}", patient)
            marked = outlined(predicted, point["threshold"], point["peak_threshold"], stack.voxel_ml)
            dice.append(2 * (marked & np.asarray(stack.mask)).sum() / (marked.sum() + np.asarray(stack.mask).sum()))

    assert alone["dice_mean"]["value"] == pytest.approx(np.mean(dice), abs=1e-3)


def test_a_given_threshold_is_used_for_every_fold_and_the_model(cache: Path, runs: Path, tmp_path: Path) -> None:
    for name in ("fold-0", "fold-1"):
        shutil.copytree(runs / name, tmp_path / name)

    result = run_cross_validate(cache, tmp_path, "--threshold", "0.85")
    refused = run_cross_validate(cache, tmp_path, "--threshold", "0.77")

    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "cross_validation.json").read_text())
    assert {fold["operating_point"]["threshold"] for fold in found["folds"]} == {0.85}
    assert load_model(f"lung_tumour:{tmp_path / 'candidate'}", ON_CPU).card.threshold == 0.85
    assert refused.exit_code == 2
    assert "threshold 0.77: expected one of 0.3, " in refused.stderr


def test_the_candidate_has_the_networks_of_all_folds(runs: Path, found: dict[str, Any]) -> None:
    model = load_model(f"lung_tumour:{runs / 'candidate'}", EXACT)

    assert model.card.networks == 2
    assert model.card.version == "3"
    assert model.card.weights_sha256 == found["weights_sha256"]
    assert model.card.threshold == found["operating_point"]["threshold"]
    assert isinstance(model, LungTumourSegmenter)
    stack = stack_of("a", "lidc")
    predicted = model.probability(np.asarray(stack.hu, np.float32), stack.spacing_mm, lambda _: None)
    mean = np.mean([logits(of_run(runs / f"fold-{k}", stack)) for k in (0, 1)], 0)
    assert predicted == pytest.approx(1 / (1 + np.exp(-mean)), abs=0.02)  # stored in half precision


def test_with_several_runs_a_fold_uses_their_mean_and_the_model_takes_networks_in_turn(
    cache: Path, runs: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(runs, first)
    for fold in (0, 1):
        stacks = [replace(one, source="phantom") for one in training_stacks(cache, Path("none"), fold)]
        train(stacks, second / f"fold-{fold}", replace(of_fold(fold), network="2.5d-efficientnet", imagenet=False))

    result = run_cross_validate(cache, first, "--runs", str(second), "--threshold", "0.5")

    assert result.exit_code == 0, result.output
    network_of_fold = load_model(f"lung_tumour:{first / 'fold-1' / 'network'}", EXACT)
    made = load_model(f"lung_tumour:{first / 'candidate'}", EXACT)
    assert network_of_fold.card.network == made.card.network == "2.5d + 2.5d-efficientnet"
    ways = {(run, fold): average(run / f"fold-{fold}") for run in (first, second) for fold in (0, 1)}
    assert_holds(first / "fold-1" / "network", [ways[first, 1], ways[second, 1]])
    assert_holds(first / "candidate", [ways[first, 0], ways[second, 1]])


def average(run: Path) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = torch.load(run / "average.pt", weights_only=True)
    return weights


def assert_holds(model: Path, networks: list[dict[str, torch.Tensor]]) -> None:
    """The weights' file contains these networks, in this order."""
    stored = load_file(model / "lung_tumour.safetensors")
    wanted = {f"networks.{n}.{name}": one for n, weights in enumerate(networks) for name, one in weights.items()}
    assert stored.keys() == wanted.keys()
    assert all(torch.allclose(one.float(), wanted[name].float(), atol=1e-3, rtol=1e-3) for name, one in stored.items())


def test_variances_beyond_half_precision_are_kept_in_a_model_of_several_networks(tmp_path: Path) -> None:
    network = build_network()
    wide = next(one for name, one in network.named_buffers() if name.endswith("running_var"))
    wide.fill_(1e5)  # half precision ends at 65504
    torch.save(network.state_dict(), tmp_path / "average.pt")

    export([tmp_path / "average.pt"] * 2, tmp_path, ModelFacts(), OperatingPoint(threshold=0.5, peak_threshold=0.5))

    stored = load_file(tmp_path / "lung_tumour.safetensors")
    assert all(bool(one.isfinite().all()) for one in stored.values())
    assert sum(bool((one == 1e5).all()) for one in stored.values()) == 2


def test_runs_that_are_missing_or_of_another_fold_are_refused(cache: Path, runs: Path, tmp_path: Path) -> None:
    missing = run_cross_validate(cache, tmp_path)
    (tmp_path / "fold-0").symlink_to(runs / "fold-1")
    (tmp_path / "fold-1").symlink_to(runs / "fold-0")
    exchanged = run_cross_validate(cache, tmp_path)

    assert missing.exit_code == exchanged.exit_code == 2
    assert "no weights found; train with --fold 0" in missing.output
    assert "this run held back fold 1" in exchanged.output


def test_the_networks_of_a_model_are_evaluated_as_their_runs_were(
    cache: Path, runs: Path, found: dict[str, Any], tmp_path: Path
) -> None:
    model, results = runs / "candidate", tmp_path / "results.json"

    result = evaluate_networks(cache, model, "--results", str(results))

    assert result.exit_code == 0, result.output
    again = json.loads(results.read_text())
    assert again["weights_sha256"] == found["weights_sha256"]
    assert [fold["operating_point"] for fold in again["folds"]] == [fold["operating_point"] for fold in found["folds"]]
    for was, now in zip(found["folds"], again["folds"], strict=True):  # stored in half precision
        dice = [[case["dice"] for case in fold["sources"]["msd"]["per_case"]] for fold in (was, now)]
        assert dice[1] == pytest.approx(dice[0], abs=0.02)


def test_a_model_without_a_network_for_each_fold_is_refused(cache: Path, runs: Path, tmp_path: Path) -> None:
    one = evaluate_networks(cache, runs / "fold-0" / "network")
    none = evaluate_networks(cache, tmp_path)
    both = run_cross_validate(cache, runs, "--model", str(runs / "candidate"))
    neither = CliRunner().invoke(app, ["cross-validate", "--data", str(cache)])

    assert {result.exit_code for result in (one, none, both, neither)} == {2}
    assert "it has 1 networks, the data 2 folds" in one.stderr
    assert f"--model {tmp_path}: " in none.stderr
    assert all("give either --runs" in result.stderr for result in (both, neither))


def evaluate_networks(cache: Path, model: Path, *more: str) -> Result:
    return CliRunner().invoke(app, ["cross-validate", "--data", str(cache), "--model", str(model), *more])
