"""Writes the model folder to share: weights, model.toml, the model card, the split, the learning curve.

The folder is written atomically, and contains no image of a patient.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from models.segmenter import read_card
from training.data.cache import manifest
from training.data.splits import read_splits
from training.export.candidate_file import CANDIDATE_FILE
from training.export.model_card import CardContent, card_text
from training.export.weights import WEIGHTS_FILE
from training.reporting.figures import learning_curves, png_bytes
from training.run_folder import RunRefused

FILES = ("model.toml", WEIGHTS_FILE, CANDIDATE_FILE, "README.md", "splits.json", "curves.png")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPackage:
    """run: with a candidate. cache: the training data. out: the folder to write; its content is replaced."""

    run: Path
    cache: Path
    out: Path
    data_licence: str = "not stated"


def check_out(out: Path) -> None:
    """Raise RunRefused if the folder contains files that are not part of a model package: they would be lost."""
    if out.exists() and (not out.is_dir() or {path.name for path in out.iterdir()} - set(FILES)):
        raise RunRefused(f"{out} already exists and is not a model folder; give another one")


def write_package(package: ModelPackage) -> Path:
    """Write the folder, and return it. Raises RunRefused if it contains anything else."""
    check_out(package.out)
    candidate = package.run / "candidate"
    hidden = package.out.absolute().parent / f".{package.out.name}.partial"
    shutil.rmtree(hidden, ignore_errors=True)
    shutil.copytree(candidate, hidden)
    (hidden / "README.md").write_text(card_text(_card_content(package, candidate)), encoding="utf-8")
    shutil.copyfile(package.cache / "splits.json", hidden / "splits.json")
    (hidden / "curves.png").write_bytes(png_bytes(learning_curves([package.run])))
    shutil.rmtree(package.out, ignore_errors=True)
    hidden.replace(package.out)
    return package.out


def release(run: Path, package: Path) -> None:
    """Copy a candidate's weights and model.toml into the package, whose card is written by hand."""
    for name in ("model.toml", WEIGHTS_FILE):
        shutil.copyfile(run / "candidate" / name, package / name)


def _card_content(package: ModelPackage, candidate: Path) -> CardContent:
    card = read_card(candidate / "model.toml")
    checkpoint = torch.load(package.run / "checkpoint.pt", weights_only=True, map_location="cpu")
    splits = package.cache / "splits.json"
    return CardContent(
        card=card,
        parameters=_parameters(candidate / card.weights_file),
        data_licence=package.data_licence,
        entries=manifest(package.cache).stacks,
        splits=read_splits(splits),
        splits_sha256=hashlib.sha256(splits.read_bytes()).hexdigest(),
        evaluation=_evaluation(package.run, card.weights_sha256),
        run=json.loads((package.run / "run.json").read_text(encoding="utf-8")),
        seconds=float(checkpoint.get("seconds", 0.0)),
    )


def _evaluation(run: Path, weights_sha256: str) -> dict[str, Any] | None:
    """Return the result of `evaluate` for exactly these weights, or None."""
    path = run / "evaluation" / "evaluation.json"
    if not path.is_file():
        return None
    evaluation: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return evaluation if evaluation["model"]["weights_sha256"] == weights_sha256 else None


def _parameters(weights: Path) -> int:
    """Return the number of trained parameters; running means and variances are not counted."""
    with safe_open(weights, "numpy") as tensors:
        learnt = [name for name in tensors.keys() if not name.endswith(("_mean", "_var", "_tracked"))]  # noqa: SIM118
        return sum(tensors.get_tensor(name).size for name in learnt)
