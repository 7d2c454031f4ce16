"""A run's own weights as a model: RUN/candidate, with its operating point chosen on validation patients.

`package.py` makes the folder to share from it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from models.lung_tumour.segmenter import LungTumourSegmenter
from models.segmenter import InferenceSettings, ModelCard, read_card
from models.store.weights import verified_weights
from training.data.volume import Stack
from training.evaluation.predict import OperatingPoint, choose_point, predict
from training.export.weights import ModelFacts, export

FIRST = OperatingPoint(threshold=0.5, peak_threshold=0.5)


def run_model(
    run: Path, validation: Callable[[], Sequence[Stack]], facts: ModelFacts, settings: InferenceSettings
) -> LungTumourSegmenter:
    """Return the run's model; the operating point is chosen once for the same weights.

    validation: returns the validation stacks; called only if the operating point must be chosen.
    """
    folder, hidden = run / "candidate", run / ".candidate"
    shutil.rmtree(hidden, ignore_errors=True)
    hidden.mkdir()
    digest = export([run / "average.pt"], hidden, facts, FIRST)
    known = _card(folder)
    if known is not None and known.weights_sha256 == digest:
        point = OperatingPoint(threshold=known.threshold, peak_threshold=known.peak_threshold)
    else:
        point = choose_point(predict(loaded(hidden, settings), validation()))
    export([run / "average.pt"], hidden, facts, point)
    shutil.rmtree(folder, ignore_errors=True)
    hidden.replace(folder)
    return loaded(folder, settings)


def loaded(folder: Path, settings: InferenceSettings) -> LungTumourSegmenter:
    """Return the model in a folder written by `export`."""
    card = read_card(folder / "model.toml")
    return LungTumourSegmenter(card, verified_weights(folder, card), settings)


def _card(folder: Path) -> ModelCard | None:
    return read_card(folder / "model.toml") if (folder / "model.toml").is_file() else None
