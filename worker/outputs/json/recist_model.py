"""Models of the proposed RECIST 1.1 assessments in findings.json; times are days, not dates."""

from __future__ import annotations

from worker.outputs.json.values import Day, JsonModel, Size, Uid
from worker.recist.response import Response
from worker.recist.rules import NonTargets


class SumJson(JsonModel):
    """Sum over the target lesions of one scan."""

    day: Day
    sum_mm: Size
    """Of the targets that could be measured."""
    sum_ml: Size | None
    is_complete: bool
    """Whether every target could be measured, or is gone."""
    addends: str
    basis: tuple[str, ...]
    """The arithmetic, a line for each rule."""


class BaselineJson(SumJson):
    """The baseline time point."""

    targets: tuple[Uid, ...]
    """Tracking UIDs, the largest first."""
    non_targets: tuple[Uid, ...]


class VolumetricJson(JsonModel):
    """The proposed response by volume, which is no part of RECIST 1.1."""

    response: Response
    sum_ml: Size | None
    from_baseline_percent: float | None
    nadir_ml: Size | None
    from_nadir_percent: float | None
    basis: str


class AssessmentJson(SumJson):
    """The proposed response at a time point after the baseline."""

    response: Response
    """Of all lesions together."""
    response_of_targets: Response | None
    from_baseline_percent: float | None
    nadir_mm: Size
    """The smallest sum before, the baseline's included."""
    from_nadir_percent: float | None
    from_nadir_mm: float | None
    non_targets: NonTargets
    new_lesions: tuple[Uid, ...]
    volumetric: VolumetricJson


class RecistJson(JsonModel):
    """RECIST 1.1, proposed: a radiologist decides."""

    baseline: BaselineJson
    assessments: tuple[AssessmentJson, ...]
    """By day."""
    progressed_on_day: Day | None
