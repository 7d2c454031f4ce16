"""Writes the model folder that is handed on: weights, model.toml, the filled card, the learning curve. Judges nothing.

The folder appears as a whole or not at all, and holds no picture of a patient.
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
from training.export.model_card import Filled, card_text
from training.export.weights import WEIGHTS_FILE
from training.reporting.figures import learning_curves, png_bytes
from training.run_folder import RunRefused

FILES = ("model.toml", WEIGHTS_FILE, "README.md", "splits.json", "curves.png")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPackage:
    """run: with a candidate. cache: what it was trained on. out: the folder to write; what is there goes away."""

    run: Path
    cache: Path
    out: Path
    data_licence: str = "not stated"


def check_out(out: Path) -> None:
    """Raise RunRefused where a folder holds anything that is not handed over: it would go away."""
    if out.exists() and (not out.is_dir() or {path.name for path in out.iterdir()} - set(FILES)):
        raise RunRefused(f"{out} is there already, and not a model folder; give another one")


def write_package(handover: ModelPackage) -> Path:
    """Write the folder, and return it. Raises RunRefused where something else is there."""
    check_out(handover.out)
    candidate = handover.run / "candidate"
    hidden = handover.out.absolute().parent / f".{handover.out.name}.partial"
    shutil.rmtree(hidden, ignore_errors=True)
    shutil.copytree(candidate, hidden)
    (hidden / "README.md").write_text(card_text(_filled(handover, candidate)), encoding="utf-8")
    shutil.copyfile(handover.cache / "splits.json", hidden / "splits.json")
    (hidden / "curves.png").write_bytes(png_bytes(learning_curves([handover.run])))
    shutil.rmtree(handover.out, ignore_errors=True)
    hidden.replace(handover.out)
    return handover.out


def release(run: Path, package: Path) -> None:
    """Put a candidate's weights and model.toml into the package; the card there is written by hand."""
    for name in ("model.toml", WEIGHTS_FILE):
        shutil.copyfile(run / "candidate" / name, package / name)


def _filled(handover: ModelPackage, candidate: Path) -> Filled:
    card = read_card(candidate / "model.toml")
    checkpoint = torch.load(handover.run / "checkpoint.pt", weights_only=True, map_location="cpu")
    splits = handover.cache / "splits.json"
    return Filled(
        card=card,
        parameters=_parameters(candidate / card.weights_file),
        data_licence=handover.data_licence,
        entries=manifest(handover.cache).stacks,
        splits=read_splits(splits),
        splits_sha256=hashlib.sha256(splits.read_bytes()).hexdigest(),
        evaluation=_evaluation(handover.run, card.weights_sha256),
        run=json.loads((handover.run / "run.json").read_text(encoding="utf-8")),
        seconds=float(checkpoint.get("seconds", 0.0)),
    )


def _evaluation(run: Path, weights_sha256: str) -> dict[str, Any] | None:
    """Return what `evaluate` wrote of these very weights, None where it did not."""
    path = run / "evaluation" / "evaluation.json"
    if not path.is_file():
        return None
    evaluation: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return evaluation if evaluation["model"]["weights_sha256"] == weights_sha256 else None


def _parameters(weights: Path) -> int:
    """Count the numbers that were learnt: running means and variances are not among them."""
    with safe_open(weights, "numpy") as tensors:
        learnt = [name for name in tensors.keys() if not name.endswith(("_mean", "_var", "_tracked"))]  # noqa: SIM118
        return sum(tensors.get_tensor(name).size for name in learnt)
