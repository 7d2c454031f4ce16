"""The proposed course by RECIST 1.1 as JSON values: targets, sums, nadir, response, and the arithmetic of each.

Judges nothing, and holds no date: days are counted from the first scan.
"""

from __future__ import annotations

from worker.outputs.days import Days
from worker.outputs.json_values import Json
from worker.recist import Assessment, Course
from worker.targets import Baseline, TargetSum
from worker.volumetric import VolumetricResponse


def recist_json(course: Course, days: Days) -> Json:
    """Return the course."""
    return {
        "baseline": _baseline(course.baseline, days),
        "assessments": [_assessment(each, days) for each in course.assessments],
        "progressed_on_day": days.of(course.progressed_on) if course.progressed_on else None,
    }


def _baseline(baseline: Baseline, days: Days) -> Json:
    return {
        "day": days.of(baseline.date),
        "targets": list(baseline.targets),
        "non_targets": list(baseline.non_targets),
        **_total(baseline.total, days),
        "basis": [days.words(line) for line in baseline.basis],
    }


def _assessment(each: Assessment, days: Days) -> Json:
    return {
        "day": days.of(each.date),
        "response": each.response.value,
        "response_of_targets": each.by_targets.value if each.by_targets else None,
        **_total(each.total, days),
        "from_baseline_percent": each.from_baseline_percent,
        "nadir_mm": each.nadir_mm,
        "from_nadir_percent": each.from_nadir_percent,
        "from_nadir_mm": each.from_nadir_mm,
        "non_targets": each.non_targets.value,
        "new_lesions": list(each.new_lesions),
        "volumetric": _volumetric(each.volumetric, days),
        "basis": [days.words(line) for line in each.basis],
    }


def _total(total: TargetSum, days: Days) -> Json:
    return {
        "sum_mm": total.sum_mm,
        "sum_ml": total.sum_ml,
        "is_complete": total.is_complete,
        "addends": days.words(total.text),
    }


def _volumetric(volumetric: VolumetricResponse, days: Days) -> Json:
    return {
        "response": volumetric.response.value,
        "sum_ml": volumetric.sum_ml,
        "from_baseline_percent": volumetric.from_baseline_percent,
        "nadir_ml": volumetric.nadir_ml,
        "from_nadir_percent": volumetric.from_nadir_percent,
        "basis": days.words(volumetric.basis),
    }
