"""The proposed course by RECIST 1.1 as JSON values: targets, sums, nadir, response, and the arithmetic of each.

Judges nothing, and holds no date: days are counted from the first scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from worker.follow_up.days import Days
from worker.outputs.json.model import AssessmentForm, BaselineForm, RecistForm, TotalForm, VolumetricForm
from worker.recist.assessment import Assessment, Course
from worker.recist.targets import Baseline, TargetSum
from worker.recist.volumetric import VolumetricResponse


def recist_json(course: Course, days: Days) -> RecistForm:
    """Return the course."""
    return {
        "baseline": _baseline(course.baseline, days),
        "assessments": [_assessment(each, days) for each in course.assessments],
        "progressed_on_day": days.of(course.progressed_on) if course.progressed_on else None,
    }


def _baseline(baseline: Baseline, days: Days) -> BaselineForm:
    return {
        **_total(baseline.total, baseline.date, baseline.basis, days),
        "targets": list(baseline.targets),
        "non_targets": list(baseline.non_targets),
    }


def _assessment(each: Assessment, days: Days) -> AssessmentForm:
    return {
        **_total(each.total, each.date, each.basis, days),
        "response": each.response.value,
        "response_of_targets": each.by_targets.value if each.by_targets else None,
        "from_baseline_percent": each.from_baseline_percent,
        "nadir_mm": each.nadir_mm,
        "from_nadir_percent": each.from_nadir_percent,
        "from_nadir_mm": each.from_nadir_mm,
        "non_targets": each.non_targets.value,
        "new_lesions": list(each.new_lesions),
        "volumetric": _volumetric(each.volumetric, days),
    }


def _total(total: TargetSum, day: date, basis: Sequence[str], days: Days) -> TotalForm:
    return {
        "day": days.of(day),
        "sum_mm": total.sum_mm,
        "sum_ml": total.sum_ml,
        "is_complete": total.is_complete,
        "addends": days.words(total.text),
        "basis": [days.words(line) for line in basis],
    }


def _volumetric(volumetric: VolumetricResponse, days: Days) -> VolumetricForm:
    return {
        "response": volumetric.response.value,
        "sum_ml": volumetric.sum_ml,
        "from_baseline_percent": volumetric.from_baseline_percent,
        "nadir_ml": volumetric.nadir_ml,
        "from_nadir_percent": volumetric.from_nadir_percent,
        "basis": days.words(volumetric.basis),
    }
