"""All metrics of a model on one part of a split, source by source.

Sources are never pooled: whole slices, crops around nodules and generated chests are different tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from rich.progress import track

from models.lung_tumour.scoring import outlined
from models.segmenter import ModelCard
from training.evaluation.bootstrap import Estimate, estimate_mean, estimate_median, estimate_spread
from training.evaluation.calibration import Calibration, Sums, calibration, sums_of
from training.evaluation.case import Bools, EvaluatedCase, case_of, grouped
from training.evaluation.detection import Detected, LesionNumbers, detect
from training.evaluation.false_positives import FalsePositiveRates, FreeSlices, false_positives, free_slices
from training.evaluation.froc import Froc, froc
from training.evaluation.metrics import CaseNumbers, case_numbers
from training.evaluation.predict import OperatingPoint, Predicted
from training.evaluation.reader_agreement import Agreement, ReaderNumbers, agreement, reader_numbers

SIZES_MM = (10.0, 20.0, 30.0, 50.0)
"""Bounds of the longest diameter: T1a, T1b, T1c and T2 of TNM (IASLC, 9th edition, as in worker/staging/t_size.py)."""

PLAIN_DIGITS = 6
"""Digits of single numbers in JSON: thresholds near 1 differ in the fifth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionGroup:
    """Lesions of one size or attachment. Overlaps and errors are over found lesions; bias: mean of marked minus true.

    volume_bias_with_missed_mm3: counts a missed lesion as marked with volume 0.
    """

    group: str
    lesions: int
    found: int
    sensitivity: Estimate
    dice: Estimate
    surface_dice_2mm: Estimate
    hd95_median_mm: Estimate
    volume_bias_mm3: Estimate
    volume_spread_mm3: Estimate
    volume_bias_with_missed_mm3: Estimate
    long_axis_bias_mm: Estimate
    long_axis_spread_mm: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceMetrics:
    """All metrics over the cases of one source; None if the source has no data for it.

    not_marked: cases with a reference in which nothing was marked; they have no Hausdorff distance.
    """

    patients: int
    cases: int
    slices: int
    not_marked: int
    over_cases: dict[str, Estimate]
    detection: Froc | None
    by_size: tuple[LesionGroup, ...]
    by_attachment: tuple[LesionGroup, ...]
    false_positives: FalsePositiveRates | None
    calibration: Calibration | None
    readers: Agreement | None
    per_case: tuple[CaseNumbers, ...]
    per_lesion: tuple[LesionNumbers, ...]
    per_reader_case: tuple[ReaderNumbers, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _CaseResult:
    numbers: CaseNumbers
    detected: Detected
    free: FreeSlices
    sums: Sums
    readers: ReaderNumbers | None
    whole: bool


def marked_in(case: EvaluatedCase, point: OperatingPoint) -> Bools:
    """Return the voxels that the model marks in a case at the operating point."""
    return outlined(case.probability, point.threshold, point.peak_threshold, case.voxel_ml)


def metrics_summary(predicted: Sequence[Predicted], point: OperatingPoint, card: ModelCard) -> dict[str, SourceMetrics]:
    """Evaluate every case, and return the metrics by source."""
    results = [_evaluate(case_of(items), point, card) for items in track(grouped(predicted), "evaluating")]
    sources = sorted({item.numbers.source for item in results})
    return {
        source: _summary([item for item in results if item.numbers.source == source], point.peak_threshold)
        for source in track(sources, "bootstrap")
    }


def plain(value: object) -> Any:  # noqa: ANN401 - what JSON is made of
    """Return a value as JSON-compatible types; floats are rounded to PLAIN_DIGITS, non-finite ones are None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return round(float(value), PLAIN_DIGITS) if np.isfinite(value) else None
    if hasattr(value, "__dataclass_fields__"):
        return plain(asdict(value))  # type: ignore[call-overload]
    return value


def _evaluate(case: EvaluatedCase, point: OperatingPoint, card: ModelCard) -> _CaseResult:
    marked = marked_in(case, point)
    return _CaseResult(
        numbers=case_numbers(case, marked),
        detected=detect(case, point, card),
        free=free_slices(case, marked),
        sums=sums_of(case),
        readers=reader_numbers(case, marked),
        whole=case.whole,
    )


def _summary(results: Sequence[_CaseResult], peak_threshold: float) -> SourceMetrics:
    numbers, detected = [item.numbers for item in results], [item.detected for item in results]
    lesions = [lesion for case in detected for lesion in case.lesions]
    readers = [item.readers for item in results if item.readers is not None]
    patients = [item.patient for item in numbers]
    return SourceMetrics(
        patients=len(set(patients)),
        cases=len(results),
        slices=sum(item.slices for item in numbers),
        not_marked=sum(item.true_ml > 0 and item.marked_ml == 0 for item in numbers),
        over_cases=over_cases(numbers),
        detection=froc(detected, peak_threshold) if lesions else None,
        by_size=_groups(lesions, _size),
        by_attachment=_groups(lesions, lambda lesion: lesion.attachment),
        false_positives=false_positives([item.free for item in results], detected, peak_threshold)
        if results[0].whole
        else None,
        calibration=calibration(patients, [item.sums for item in results]) if lesions else None,
        readers=agreement(readers) if readers else None,
        per_case=tuple(numbers),
        per_lesion=tuple(lesions),
        per_reader_case=tuple(readers),
    )


def over_cases(numbers: Sequence[CaseNumbers]) -> dict[str, Estimate]:
    """Return means, medians and spreads of the cases' metrics, over the cases in which each is defined."""
    patients = [item.patient for item in numbers]
    columns: dict[str, list[float | None]] = {
        name: [getattr(item, name) for item in numbers]
        for name in ("dice", "surface_dice_2mm", "hd95_mm", "volume_error_ml", "volume_error_percent")
    }
    estimates: dict[str, Estimate] = {}
    for name, values in columns.items():
        estimates[f"{name}_mean"] = estimate_mean(patients, values)
        estimates[f"{name}_median"] = estimate_median(patients, values)
    for name in ("volume_error_ml", "volume_error_percent"):
        estimates[f"{name}_spread"] = estimate_spread(patients, columns[name])
    return estimates


def _groups(lesions: Sequence[LesionNumbers], key: Callable[[LesionNumbers], str]) -> tuple[LesionGroup, ...]:
    """Return the metrics of all lesions and of each group, ordered by the smallest lesion of the group."""
    names = dict.fromkeys(key(lesion) for lesion in sorted(lesions, key=lambda lesion: lesion.long_axis_mm))
    groups = [("all", list(lesions)), *((name, [item for item in lesions if key(item) == name]) for name in names)]
    return tuple(_group(name, members) for name, members in groups if members)


def _group(name: str, lesions: Sequence[LesionNumbers]) -> LesionGroup:
    patients = [lesion.patient for lesion in lesions]
    volume: list[float | None] = [lesion.volume_error_mm3 for lesion in lesions]
    axis: list[float | None] = [lesion.long_axis_error_mm for lesion in lesions]
    with_missed: list[float | None] = [
        -1000 * lesion.volume_ml if error is None else error for lesion, error in zip(lesions, volume, strict=True)
    ]
    return LesionGroup(
        group=name,
        lesions=len(lesions),
        found=sum(lesion.found for lesion in lesions),
        sensitivity=estimate_mean(patients, [float(lesion.found) for lesion in lesions]),
        dice=estimate_mean(patients, [lesion.dice for lesion in lesions]),
        surface_dice_2mm=estimate_mean(patients, [lesion.surface_dice_2mm for lesion in lesions]),
        hd95_median_mm=estimate_median(patients, [lesion.hd95_mm for lesion in lesions]),
        volume_bias_mm3=estimate_mean(patients, volume),
        volume_spread_mm3=estimate_spread(patients, volume),
        volume_bias_with_missed_mm3=estimate_mean(patients, with_missed),
        long_axis_bias_mm=estimate_mean(patients, axis),
        long_axis_spread_mm=estimate_spread(patients, axis),
    )


def _size(lesion: LesionNumbers) -> str:
    number = int(np.searchsorted(SIZES_MM, lesion.long_axis_mm, side="left"))
    if number == 0:
        return f"up to {SIZES_MM[0]:.0f} mm"
    low = f"over {SIZES_MM[number - 1]:.0f}"
    return f"{low} mm" if number == len(SIZES_MM) else f"{low} to {SIZES_MM[number]:.0f} mm"
