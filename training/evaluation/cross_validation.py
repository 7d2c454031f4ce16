"""Cross-validation by patient: each patient is evaluated with the network of the fold that held it back.

The operating point of a fold is chosen on the validation part and on the patients of the other folds, as predicted by
the networks that held them back; the fold's own patients take no part. All networks together are the model to release.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from models.lung_tumour.kinds import IN_TURN, kinds_of
from models.lung_tumour.segmenter import LungTumourSegmenter
from models.lung_tumour.stored_networks import stored_networks
from models.segmenter import InferenceSettings, ModelError, read_card
from models.store.weights import verified_weights
from training.data.splits import FOLD
from training.evaluation.bootstrap import estimate_mean, estimate_median
from training.evaluation.components import dice_at
from training.evaluation.folds import Fold, FoldedData, fold_of, folded_data
from training.evaluation.predict import THRESHOLDS, OperatingPoint, best_point, cases_by_source
from training.evaluation.summary import SourceMetrics, metrics_summary, over_cases, plain
from training.export.run_model import FIRST, loaded
from training.export.weights import ModelFacts, export
from training.readers.case import DataRefused
from training.run_folder import RunRefused, trained_fold, trained_network

RULES = (
    "each patient is evaluated with the network, or the mean of the networks, whose training held it back, tumour-free "
    "slices included",
    "the operating point of a fold: of the thresholds with nearly the best sum of the sources' mean Dice over the "
    "other folds and over the validation part as predicted by all networks, each with its best peak threshold, the one "
    "with the smallest volume error; alone: on the same source of the other folds",
)


def cross_validate(
    runs: Sequence[Path], data: Path, committed: Path, facts: ModelFacts, *, flip_tta: bool, threshold: float | None
) -> dict[str, Any]:
    """Evaluate RUNS/fold-0, fold-1, ... on their own patients; write RUNS/cross_validation.json and RUNS/candidate.

    With several RUNS a fold is evaluated with the mean of its networks, in which a repeated RUNS counts twice; the
    results are written into the first. The candidate averages one network of each fold, taken from the RUNS in turn, at
    the operating point chosen over all folds. flip_tta: each network also predicts the mirrored chest. threshold: fixed
    for all operating points, or None to choose it. Raises RunRefused if a run is missing or held back another fold,
    DataRefused if the data has no folds or the threshold is not in THRESHOLDS.
    """
    folded = _folded_data(data, committed, threshold)
    by_fold = list(zip(*(_runs(folder, folded.count) for folder in runs), strict=True))
    folds = [fold_of(_model(networks, flip_tta=flip_tta), folded, number) for number, networks in enumerate(by_fold)]
    point = best_point(
        *(fold.labelled_held_back for fold in folds),
        *(fold.labelled_validation for fold in folds),
        threshold=threshold,
    )
    digest = _export([networks[number % len(runs)] for number, networks in enumerate(by_fold)], runs, facts, point)
    found = {"operating_point": asdict(point), **_evaluation_of(digest, folds, folded, threshold, flip_tta=flip_tta)}
    (runs[0] / "cross_validation.json").write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return found


def evaluate_networks(
    model: Path, data: Path, committed: Path, *, flip_tta: bool, threshold: float | None
) -> dict[str, Any]:
    """Evaluate each network of a `cross_validate` model alone on the patients that it was not trained on.

    The folds choose their operating points as in `cross_validate`; nothing is written. model: its folder, with the
    networks in the order of the folds. Raises DataRefused if there is no such model, or if it has not exactly one
    network for each fold.
    """
    folded = _folded_data(data, committed, threshold)
    try:
        card = read_card(model / "model.toml")
        networks = stored_networks(card, verified_weights(model, card))
    except ModelError as error:
        raise DataRefused(f"--model {model}: {error}") from None
    if card.networks != folded.count:
        raise DataRefused(f"--model {model}: it has {card.networks} networks, the data {folded.count} folds")
    folds, kinds = [], kinds_of(card.network, card.networks)
    with TemporaryDirectory() as hidden:
        for number, (kind, network) in enumerate(zip(kinds, networks, strict=True)):
            torch.save(network.state_dict(), Path(hidden) / "average.pt")
            export([Path(hidden) / "average.pt"], Path(hidden), ModelFacts(network=kind), FIRST)
            settings = InferenceSettings(flip_tta=flip_tta, cascade=False)
            folds.append(fold_of(loaded(Path(hidden), settings), folded, number))
    return _evaluation_of(card.weights_sha256, folds, folded, threshold, flip_tta=flip_tta)


def _evaluation_of(
    digest: str, folds: Sequence[Fold], folded: FoldedData, threshold: float | None, *, flip_tta: bool
) -> dict[str, Any]:
    return {
        "weights_sha256": digest,
        "flip_tta": flip_tta,
        "split": folded.split_facts(),
        "rules": list(RULES),
        "given_threshold": threshold,
        **judge_folds(folds, threshold),
    }


def _folded_data(data: Path, committed: Path, threshold: float | None) -> FoldedData:
    if threshold is not None and threshold not in THRESHOLDS:
        raise DataRefused(f"threshold {threshold}: expected one of {', '.join(map(str, THRESHOLDS))}")
    return folded_data(data, committed)


def judge_folds(folds: Sequence[Fold], threshold: float | None = None) -> dict[str, Any]:
    """Return as JSON the metrics of each fold at its own operating point, and the figures over the cases of all folds.

    threshold: fixed for all operating points, or None to choose it. "alone": each source with operating points chosen
    on that source only.
    """
    evaluated = [_evaluated(folds, number, threshold) for number in range(len(folds))]
    sources = sorted({source for fold in folds for source in fold.labelled_held_back})
    return {
        "folds": plain([{"operating_point": asdict(point), "sources": by_source} for point, by_source in evaluated]),
        "together": plain(_together([by_source for _, by_source in evaluated])),
        "alone": plain({source: _alone(folds, source) for source in sources}),
    }


def _runs(runs: Path, count: int) -> list[Path]:
    folders = [runs / f"{FOLD}{number}" for number in range(count)]
    for number, folder in enumerate(folders):
        if not (folder / "average.pt").is_file():
            raise RunRefused(f"{folder}: no weights found; train with --fold {number} --run {folder}")
        if trained_fold(folder) != number:
            raise RunRefused(f"{folder}: this run held back fold {trained_fold(folder)}")
    return folders


def _model(runs: Sequence[Path], *, flip_tta: bool) -> LungTumourSegmenter:
    folder = runs[0] / "network"
    folder.mkdir(exist_ok=True)
    export([run / "average.pt" for run in runs], folder, ModelFacts(name=runs[0].name, network=_kinds(runs)), FIRST)
    return loaded(folder, InferenceSettings(flip_tta=flip_tta, cascade=False))


def _evaluated(
    folds: Sequence[Fold], number: int, threshold: float | None
) -> tuple[OperatingPoint, dict[str, SourceMetrics]]:
    others = [fold.labelled_held_back for k, fold in enumerate(folds) if k != number]
    point = best_point(*others, *(fold.labelled_validation for fold in folds), threshold=threshold)
    return point, metrics_summary(folds[number].held_back, point, folds[number].card)


def _together(evaluated: Sequence[dict[str, SourceMetrics]]) -> dict[str, Any]:
    """Return, by source, the figures over the cases of all folds."""
    sources = sorted({source for by_source in evaluated for source in by_source})
    cases = {
        source: [case for by_source in evaluated if source in by_source for case in by_source[source].per_case]
        for source in sources
    }
    return {source: over_cases(numbers) for source, numbers in cases.items()}


def _alone(folds: Sequence[Fold], source: str) -> dict[str, Any]:
    """Return a source's Dice at operating points chosen for it alone on the other folds."""
    points, patients, values = [], [], []
    for number, fold in enumerate(folds):
        others = [other.labelled_held_back for k, other in enumerate(folds) if k != number]
        points.append(best_point(*({source: cases[source]} for cases in others if source in cases)))
        evaluated = cases_by_source(fold.held_back).get(source, {})
        patients += [items[0].stack.patient for items in evaluated.values()]
        values += [
            dice_at(case, points[-1].threshold, points[-1].peak_threshold)
            for case in fold.labelled_held_back.get(source, ())
        ]
    return {
        "operating_points": points,
        "dice_mean": estimate_mean(patients, values),
        "dice_median": estimate_median(patients, values),
    }


def _export(folders: Sequence[Path], runs: Sequence[Path], facts: ModelFacts, point: OperatingPoint) -> str:
    folder = runs[0] / "candidate"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    facts = replace(facts, network=_kinds(folders[: len(runs)]))
    return export([run / "average.pt" for run in folders], folder, facts, point)


def _kinds(runs: Sequence[Path]) -> str:
    """Return the shortest sequence of network kinds that repeats over the runs, joined by IN_TURN."""
    kinds, count = [trained_network(run) for run in runs], len(runs)
    turn = next(n for n in range(1, count + 1) if count % n == 0 and kinds == kinds[:n] * (count // n))
    return IN_TURN.join(kinds[:turn])


def together_lines(found: Mapping[str, Any]) -> list[str]:
    """Return two lines for each source: Dice over the cases of all folds, and at operating points of its own."""
    lines = []
    for source, numbers in found["together"].items():
        lines.append(f"{source}: {_dice_line(numbers)}")
        lines.append(f"{source}, operating points chosen for it alone: {_dice_line(found['alone'][source])}")
    return lines


def _dice_line(numbers: Mapping[str, Any]) -> str:
    mean, median = numbers["dice_mean"], numbers["dice_median"]
    interval = f"({mean['low']} to {mean['high']})"
    return f"mean Dice {mean['value']} {interval}, median {median['value']}, {mean['cases']} cases"
