"""The proposed response in the SR: targets, sum of diameters, nadir, categories, and the arithmetic. Judges nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import highdicom as hd
from pydicom.sr.coding import Code

from worker.codes import follow_up as over_time
from worker.codes import lesions as codes
from worker.follow_up.days import Days
from worker.outputs.dicom.sr.items import answer, evaluation, text, uid_reference
from worker.outputs.quantities import Quantity, quantity
from worker.recist.assessment import Assessment, Course
from worker.recist.response import Response
from worker.recist.volumetric import VolumetricResponse

NOT_CONFIRMED = "Proposed by software from what it outlined: not an assessment by a reader."


def recist_quantities(course: Course, today: date) -> list[Quantity]:
    """Return the sums of the current scan, and what they are compared with; at baseline there is one."""
    now = assessment_of(course, today)
    total = now.total if now else course.baseline.total
    rows: list[tuple[str, Code, float | None, Code]] = []
    if course.baseline.targets:
        rows.append(("sum_mm", over_time.SUM_OF_DIAMETERS, total.sum_mm, codes.MILLIMETRE))
        rows.append(("sum_ml", over_time.TARGET_VOLUME, total.sum_ml, codes.MILLILITRE))
        rows.extend(_compared(course, now) if now else ())
    return [quantity(key, name, value, unit) for key, name, value, unit in rows if value is not None]


def _compared(course: Course, now: Assessment) -> list[tuple[str, Code, float | None, Code]]:
    volume = now.volumetric
    return [
        ("baseline_mm", over_time.SUM_BASELINE, course.baseline.total.sum_mm, codes.MILLIMETRE),
        ("nadir_mm", over_time.SUM_NADIR, now.nadir_mm, codes.MILLIMETRE),
        ("from_baseline_percent", over_time.FROM_BASELINE, now.from_baseline_percent, codes.PERCENT),
        ("from_nadir_percent", over_time.FROM_NADIR, now.from_nadir_percent, codes.PERCENT),
        ("from_nadir_mm", over_time.FROM_NADIR_MM, now.from_nadir_mm, codes.MILLIMETRE),
        ("nadir_ml", over_time.VOLUME_NADIR, volume.nadir_ml, codes.MILLILITRE),
        ("volume_from_baseline_percent", over_time.VOLUME_FROM_BASE, volume.from_baseline_percent, codes.PERCENT),
        ("volume_from_nadir_percent", over_time.VOLUME_FROM_NADIR, volume.from_nadir_percent, codes.PERCENT),
    ]


def recist_evaluations(course: Course, today: date) -> list[hd.sr.QualitativeEvaluation]:
    """Return the proposed categories of the current scan; at baseline there is none."""
    now = assessment_of(course, today)
    if now is None:
        return []
    return [
        evaluation(over_time.RESPONSE, over_time.RESPONSES[now.response]),
        *_by_targets(now.by_targets),
        answer(over_time.SUM_COMPLETE, now.total.is_complete),
        evaluation(over_time.NON_TARGETS, over_time.NON_TARGET_STATES[now.non_targets]),
        *_by_volume(now.volumetric),
    ]


def _by_targets(response: Response | None) -> Iterable[hd.sr.QualitativeEvaluation]:
    if response is not None:
        yield evaluation(over_time.TARGET_RESPONSE, over_time.RESPONSES[response])


def _by_volume(volumetric: VolumetricResponse) -> Iterable[hd.sr.QualitativeEvaluation]:
    yield evaluation(over_time.VOLUME_RESPONSE, over_time.RESPONSES[volumetric.response])


def recist_items(course: Course, today: date, days: Days) -> list[hd.sr.ContentItem]:
    """Return which lesions are targets, which are new, and the arithmetic line by line, its dates as days."""
    now = assessment_of(course, today)
    basis = (*course.baseline.basis, *(now.basis if now else ()))
    return [
        *(uid_reference(over_time.TARGET, uid) for uid in course.baseline.targets),
        *(uid_reference(over_time.NON_TARGET, uid) for uid in course.baseline.non_targets),
        *(uid_reference(over_time.NEW_LESION, uid) for uid in (now.new_lesions if now else ())),
        *(text(over_time.RECIST_BASIS, days.words(line)) for line in basis),
        text(over_time.RECIST_BASIS, NOT_CONFIRMED),
    ]


def assessment_of(course: Course, today: date) -> Assessment | None:
    """Return the assessment of this date; None at baseline."""
    return next((each for each in course.assessments if each.date == today), None)
