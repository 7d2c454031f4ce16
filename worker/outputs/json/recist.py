"""Writes the proposed RECIST 1.1 assessments: targets, sums, nadir, response, and their arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TypedDict

from worker.outputs.days import Days
from worker.outputs.json.recist_model import AssessmentJson, BaselineJson, RecistJson, VolumetricJson
from worker.recist.assessment import Assessment, ResponseTimeline
from worker.recist.basis import BasisLine
from worker.recist.targets import Baseline, TargetSum
from worker.recist.volumetric import VolumetricResponse


class _Sum(TypedDict):
    day: int
    sum_mm: float
    sum_ml: float | None
    is_complete: bool
    addends: str
    basis: tuple[str, ...]


def recist_json(timeline: ResponseTimeline, days: Days) -> RecistJson:
    """Return baseline and assessments as JSON, dates as days."""
    return RecistJson(
        baseline=_baseline(timeline.baseline, days),
        assessments=tuple(_assessment(assessment, days) for assessment in timeline.assessments),
        progressed_on_day=days.of(timeline.progressed_on) if timeline.progressed_on else None,
    )


def _baseline(baseline: Baseline, days: Days) -> BaselineJson:
    return BaselineJson(
        **_sum(baseline.total, baseline.date, baseline.basis, days),
        targets=baseline.targets,
        non_targets=baseline.non_targets,
    )


def _assessment(assessment: Assessment, days: Days) -> AssessmentJson:
    return AssessmentJson(
        **_sum(assessment.total, assessment.date, assessment.basis, days),
        response=assessment.response,
        response_of_targets=assessment.by_targets,
        from_baseline_percent=assessment.from_baseline_percent,
        nadir_mm=assessment.nadir_mm,
        from_nadir_percent=assessment.from_nadir_percent,
        from_nadir_mm=assessment.from_nadir_mm,
        non_targets=assessment.non_targets,
        new_lesions=assessment.new_lesions,
        volumetric=_volumetric(assessment.volumetric, days),
    )


def _sum(total: TargetSum, day: date, basis: Sequence[BasisLine], days: Days) -> _Sum:
    return {
        "day": days.of(day),
        "sum_mm": total.sum_mm,
        "sum_ml": total.sum_ml,
        "is_complete": total.is_complete,
        "addends": days.replace_dates(total.text),
        "basis": tuple(days.line(line) for line in basis),
    }


def _volumetric(volumetric: VolumetricResponse, days: Days) -> VolumetricJson:
    return VolumetricJson(
        response=volumetric.response,
        sum_ml=volumetric.sum_ml,
        from_baseline_percent=volumetric.from_baseline_percent,
        nadir_ml=volumetric.nadir_ml,
        from_nadir_percent=volumetric.from_nadir_percent,
        basis=days.replace_dates(volumetric.basis),
    )
