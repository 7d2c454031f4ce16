"""Evaluates a model on one part of a split, and writes evaluation.json and report.html into the run's folder.

The report contains images of patients: it stays in the run's folder, which git ignores.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.segmenter import ModelCard
from training.data.cache import is_cache, manifest, read_stacks
from training.data.datasets import lidc_cubes, lidc_slices, msd_slices
from training.data.splits import FOLD, collection_of, read_splits, training_patients
from training.data.volume import Stack
from training.evaluation.case import case_name, case_of, grouped
from training.evaluation.false_positives import free_chests
from training.evaluation.predict import OperatingPoint, Predicted, Predictor, predict
from training.evaluation.summary import SourceMetrics, marked_in, metrics_summary, plain
from training.readers.case import DataRefused
from training.reporting.figures import CaseView, four_pictures, png_bytes
from training.reporting.html import report_page

RULES = (
    "Case: all whole slices of a patient together, or one crop around a nodule. "
    "Tumour-free slices count: false positives there lower a patient's Dice.",
    "Dice, surface Dice (2 mm, area-weighted, Nikolov 2021) and HD95 by MONAI, in mm. Without a reference they are "
    "not defined; with a reference and no mark, both Dice are 0 and HD95 is not defined (Metrics reloaded 2024).",
    "Lesion: a 3D connected component of at least the card's smallest volume; smaller pieces of the reference are "
    "ignored, with the candidates on them (LUNA16).",
    "A candidate hits a lesion at an IoU of 0.1 or more (nnDetection 2021), or with its centroid within the lesion's "
    "radius of the lesion's (LUNA16). Its score is its highest probability, with the odds of large ones "
    "lowered (`score` in models/lung_tumour/scoring.py). A scan is all data of a patient; in a crop, false candidates "
    "may be other nodules that the collection does not mark.",
    "FROC: every score is used once as a threshold; the curve is a staircase, not interpolated. Candidates are "
    "components above the outline's threshold, so a lesion below it is not found at any rate.",
    "Attachment: tissue at least 8 mm thick within 3 mm of the lesion; to the mediastinum if it lies between the "
    "lungs, else to the wall; in a crop the two cannot be distinguished. Approximate; used to group figures only.",
    "Size: longest diameter in an axial slice, measured as in the product. Bias: mean of marked minus true; "
    "spread: its standard deviation.",
    "Calibration: voxels within 10 mm of a lesion, ten bins; expected calibration error of Guo 2017.",
    "Intervals: 2000 draws of patients with replacement, percentiles 2.5 and 97.5. Below 20 patients they are a hint.",
)
OF_SLICES = (
    "msd: slices of 256 x 256 pixels of 8 bits whose HU are estimated; slice spacing is assumed to be 1.25 mm, as "
    "the collection does not state it, and some pixel sizes are the collection's median: mm and ml there "
    "are estimates. lidc: crops end at the nodule's first and last slice, so no mark can run beyond them.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSet:
    """The data of an evaluation: the stacks of a part, and the file of the split."""

    stacks: list[Stack]
    part: str
    splits: Path
    rules: tuple[str, ...] = RULES


def held_back(data: Path, part: str, committed: Path) -> EvaluationSet:
    """Return the stacks of one part (train, validation, test, fold-0, ...) and the file of the split.

    Raises ValueError if the data has no patient of the part.
    """
    stacks, splits = collections_of(data, committed)
    by_collection = read_splits(splits)
    chosen = [stack for stack in stacks if stack.patient in by_collection[collection_of(stack.source)].get(part, ())]
    if not chosen:
        raise ValueError(f"{splits.name}: the data holds no patient of the part {part}")
    rules = (*RULES, *OF_SLICES) if _has_slices(data) else RULES
    return EvaluationSet(stacks=chosen, part=part, splits=splits, rules=rules)


def training_stacks(data: Path, committed: Path, fold: int | None) -> list[Stack]:
    """Return the stacks to train on: the part train, or the other folds' patients of collections that have folds.

    Raises DataRefused if no collection has this fold.
    """
    stacks, splits = collections_of(data, committed)
    by_collection = read_splits(splits)
    if fold is not None and not any(f"{FOLD}{fold}" in split for split in by_collection.values()):
        raise DataRefused(f"{splits.name}: no collection has a fold {fold}")
    trained = {name: training_patients(split, fold) for name, split in by_collection.items()}
    return [stack for stack in stacks if stack.patient in trained.get(collection_of(stack.source), ())]


def _has_slices(data: Path) -> bool:
    """Return whether the data includes the slice collections, whose geometry is only partly known."""
    if not is_cache(data):
        return True
    return any(entry.estimated or entry.source == "lidc" for entry in manifest(data).stacks)


def collections_of(data: Path, committed: Path) -> tuple[list[Stack], Path]:
    """Return all stacks, and the file of their split.

    data: a cache written by `prepare`, which has its own split, or the folder of the three collections.
    """
    if is_cache(data):
        return read_stacks(data), data / "splits.json"
    return [
        *msd_slices(data / "msd-slices"),
        *lidc_slices(data / "lidc-slices"),
        *lidc_cubes(data / "lidc-cubes" / "cubes.npz"),
    ], committed


def evaluate_model(model: Predictor, evaluation_set: EvaluationSet, folder: Path, chests: int) -> dict[str, Any]:
    """Evaluate a model at its card's operating point, write JSON and report into the folder, and return the JSON.

    chests: number of generated chests without a lesion to evaluate in addition.
    """
    card = model.card
    point = OperatingPoint(threshold=card.threshold, peak_threshold=card.peak_threshold)
    predicted = predict(model, [*evaluation_set.stacks, *free_chests(chests)])
    by_source = metrics_summary(predicted, point, card)
    evaluation = {
        "model": {"name": card.name, "version": card.version, "weights_sha256": card.weights_sha256},
        "operating_point": _operating_point(card),
        "split": {
            "file": evaluation_set.splits.name,
            "sha256": hashlib.sha256(evaluation_set.splits.read_bytes()).hexdigest(),
            "part": evaluation_set.part,
        },
        "rules": list(evaluation_set.rules),
        "sources": plain(by_source),
    }
    folder.mkdir(parents=True, exist_ok=True)
    pictures = _pictures(predicted, by_source, point, evaluation_set.part)
    (folder / "report.html").write_text(report_page(evaluation, pictures), encoding="utf-8")
    (folder / "evaluation.json").write_text(json.dumps(evaluation, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return evaluation


def headlines(evaluation: Mapping[str, Any]) -> list[str]:
    """Return one line for each source: its Dice, or without a reference its false lesions per scan."""
    lines = []
    for source, numbers in evaluation["sources"].items():
        shown, name = numbers["over_cases"]["dice_mean"], "mean Dice"
        if shown["value"] is None:
            shown, name = numbers["false_positives"]["false_lesions_per_tumour_free_scan"], "false lesions per scan"
        interval = f"({shown['low']} to {shown['high']})"
        lines.append(
            f"{source}: {name} {shown['value']} {interval}, {shown['cases']} cases, {shown['patients']} patients"
        )
    return lines


def _operating_point(card: ModelCard) -> dict[str, float]:
    return {
        "threshold": card.threshold,
        "peak_threshold": card.peak_threshold,
        "smallest_lesion_ml": card.smallest_lesion_ml,
    }


def _pictures(
    predicted: Sequence[Predicted], by_source: Mapping[str, SourceMetrics], point: OperatingPoint, part: str
) -> dict[str, list[tuple[str, bytes]]]:
    """Draw the best, the median and the worst case of each source by Dice."""
    items_of = {(items[0].stack.source, case_name(items[0].stack)): items for items in grouped(predicted)}
    pictures: dict[str, list[tuple[str, bytes]]] = {}
    for source, numbers in by_source.items():
        for word, name in _examples(numbers).items():
            case = case_of(items_of[source, name])
            shown = CaseView(case=case, marked=marked_in(case, point), part=part)
            pictures.setdefault(source, []).append((f"{word} case: {name}", png_bytes(four_pictures(shown))))
    return pictures


def _examples(numbers: SourceMetrics) -> dict[str, str]:
    ranked = sorted((item.dice, item.case) for item in numbers.per_case if item.dice is not None)
    if not ranked:
        return {}
    return {"best": ranked[-1][1], "median": ranked[len(ranked) // 2][1], "worst": ranked[0][1]}
