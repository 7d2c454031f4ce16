"""The proposed response in the SR: targets, sum of diameters, nadir, categories, and their arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import highdicom as hd
from pydicom.sr.coding import Code

from worker.codes import follow_up as over_time
from worker.codes import lesions as codes
from worker.outputs.days import Days
from worker.outputs.dicom.sr.items import evaluation, text, uid_reference, yes_no
from worker.outputs.quantities import Quantity, quantity
from worker.recist.assessment import Assessment, ResponseTimeline
from worker.recist.response import Response
from worker.recist.volumetric import VolumetricResponse

NOT_CONFIRMED = "Proposed by software from what it outlined: not an assessment by a reader."


def recist_quantities(timeline: ResponseTimeline, today: date) -> list[Quantity]:
    """Return the sums of the current scan with the baseline, the nadir and the changes; at baseline, only the sums."""
    current = assessment_of(timeline, today)
    total = current.total if current else timeline.baseline.total
    rows: list[tuple[str, Code, float | None, Code]] = []
    if timeline.baseline.targets:
        rows.append(("sum_mm", over_time.SUM_OF_DIAMETERS, total.sum_mm, codes.MILLIMETRE))
        rows.append(("sum_ml", over_time.TARGET_VOLUME, total.sum_ml, codes.MILLILITRE))
        rows.extend(_comparison_rows(timeline, current) if current else ())
    return [quantity(key, name, value, unit) for key, name, value, unit in rows if value is not None]


def _comparison_rows(timeline: ResponseTimeline, current: Assessment) -> list[tuple[str, Code, float | None, Code]]:
    volume = current.volumetric
    return [
        ("baseline_mm", over_time.SUM_BASELINE, timeline.baseline.total.sum_mm, codes.MILLIMETRE),
        ("nadir_mm", over_time.SUM_NADIR, current.nadir_mm, codes.MILLIMETRE),
        ("from_baseline_percent", over_time.FROM_BASELINE, current.from_baseline_percent, codes.PERCENT),
        ("from_nadir_percent", over_time.FROM_NADIR, current.from_nadir_percent, codes.PERCENT),
        ("from_nadir_mm", over_time.FROM_NADIR_MM, current.from_nadir_mm, codes.MILLIMETRE),
        ("nadir_ml", over_time.VOLUME_NADIR, volume.nadir_ml, codes.MILLILITRE),
        ("volume_from_baseline_percent", over_time.VOLUME_FROM_BASE, volume.from_baseline_percent, codes.PERCENT),
        ("volume_from_nadir_percent", over_time.VOLUME_FROM_NADIR, volume.from_nadir_percent, codes.PERCENT),
    ]


def recist_evaluations(timeline: ResponseTimeline, today: date) -> list[hd.sr.QualitativeEvaluation]:
    """Return the proposed categories of the current scan; an empty list at baseline."""
    current = assessment_of(timeline, today)
    if current is None:
        return []
    return [
        evaluation(over_time.RESPONSE, over_time.RESPONSES[current.response]),
        *_target_response(current.by_targets),
        yes_no(over_time.SUM_COMPLETE, current.total.is_complete),
        evaluation(over_time.NON_TARGETS, over_time.NON_TARGET_STATES[current.non_targets]),
        *_volume_response(current.volumetric),
    ]


def _target_response(response: Response | None) -> Iterable[hd.sr.QualitativeEvaluation]:
    if response is not None:
        yield evaluation(over_time.TARGET_RESPONSE, over_time.RESPONSES[response])


def _volume_response(volumetric: VolumetricResponse) -> Iterable[hd.sr.QualitativeEvaluation]:
    yield evaluation(over_time.VOLUME_RESPONSE, over_time.RESPONSES[volumetric.response])


def recist_items(timeline: ResponseTimeline, today: date, days: Days) -> list[hd.sr.ContentItem]:
    """Return the UIDs of target, non-target and new lesions, and the arithmetic line by line, dates as days."""
    current = assessment_of(timeline, today)
    basis = (*timeline.baseline.basis, *(current.basis if current else ()))
    return [
        *(uid_reference(over_time.TARGET, uid) for uid in timeline.baseline.targets),
        *(uid_reference(over_time.NON_TARGET, uid) for uid in timeline.baseline.non_targets),
        *(uid_reference(over_time.NEW_LESION, uid) for uid in (current.new_lesions if current else ())),
        *(text(over_time.RECIST_BASIS, days.line(line)) for line in basis),
        text(over_time.RECIST_BASIS, NOT_CONFIRMED),
    ]


def assessment_of(timeline: ResponseTimeline, today: date) -> Assessment | None:
    """Return the assessment of this date, or None at baseline."""
    return next((assessment for assessment in timeline.assessments if assessment.date == today), None)
