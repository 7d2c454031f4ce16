"""Proposed RECIST 1.1 assessments as JSON values: targets, sums, nadir, response, and their arithmetic.

Times are days since the first scan, not dates.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from worker.follow_up.days import Days
from worker.outputs.json.model import AssessmentForm, BaselineForm, RecistForm, TotalForm, VolumetricForm
from worker.recist.assessment import Assessment, ResponseTimeline
from worker.recist.targets import Baseline, TargetSum
from worker.recist.volumetric import VolumetricResponse


def recist_json(timeline: ResponseTimeline, days: Days) -> RecistForm:
    """Return baseline and assessments as JSON values, dates as days."""
    return {
        "baseline": _baseline(timeline.baseline, days),
        "assessments": [_assessment(assessment, days) for assessment in timeline.assessments],
        "progressed_on_day": days.of(timeline.progressed_on) if timeline.progressed_on else None,
    }


def _baseline(baseline: Baseline, days: Days) -> BaselineForm:
    return {
        **_total(baseline.total, baseline.date, baseline.basis, days),
        "targets": list(baseline.targets),
        "non_targets": list(baseline.non_targets),
    }


def _assessment(assessment: Assessment, days: Days) -> AssessmentForm:
    return {
        **_total(assessment.total, assessment.date, assessment.basis, days),
        "response": assessment.response.value,
        "response_of_targets": assessment.by_targets.value if assessment.by_targets else None,
        "from_baseline_percent": assessment.from_baseline_percent,
        "nadir_mm": assessment.nadir_mm,
        "from_nadir_percent": assessment.from_nadir_percent,
        "from_nadir_mm": assessment.from_nadir_mm,
        "non_targets": assessment.non_targets.value,
        "new_lesions": list(assessment.new_lesions),
        "volumetric": _volumetric(assessment.volumetric, days),
    }


def _total(total: TargetSum, day: date, basis: Sequence[str], days: Days) -> TotalForm:
    return {
        "day": days.of(day),
        "sum_mm": total.sum_mm,
        "sum_ml": total.sum_ml,
        "is_complete": total.is_complete,
        "addends": days.replace_dates(total.text),
        "basis": [days.replace_dates(line) for line in basis],
    }


def _volumetric(volumetric: VolumetricResponse, days: Days) -> VolumetricForm:
    return {
        "response": volumetric.response.value,
        "sum_ml": volumetric.sum_ml,
        "from_baseline_percent": volumetric.from_baseline_percent,
        "nadir_ml": volumetric.nadir_ml,
        "from_nadir_percent": volumetric.from_nadir_percent,
        "basis": days.replace_dates(volumetric.basis),
    }
