"""The form of a course in JSON, as types: what comparison.py writes and `lungspread timeline` reads again.

findings.schema.json describes the same for other readers. Holds no date.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from worker.outputs.json.values import Json


class SizesForm(TypedDict):
    """Sizes with what the scan allows; the intervals are left out where they are not known."""

    volume_ml: float
    volume_ml_95: NotRequired[list[float]]
    long_axis_mm: float
    long_axis_mm_95: NotRequired[list[float]]
    short_axis_mm: float
    short_axis_mm_95: NotRequired[list[float]]


class ObservationForm(TypedDict):
    """What one scan shows of one lesion."""

    day: int
    state: str
    sizes: SizesForm | None


class LesionForm(TypedDict):
    """One lesion over time; event, confidence and change are those of the current scan."""

    tracking_uid: str
    name: str
    event: str | None
    confidence: float | None
    possible_match: str | None
    merged_into: str | None
    split_from: str | None
    observations: list[ObservationForm]
    change: Json | None


class TimePointForm(TypedDict):
    """One scan."""

    day: int
    study_uid: str
    series_uid: str
    slice_mm: float
    outlined_by: str
    report_uid: str | None
    burden_ml: float
    is_burden_complete: bool


class VolumetricForm(TypedDict):
    """The response by volume."""

    response: str
    sum_ml: float | None
    from_baseline_percent: float | None
    nadir_ml: float | None
    from_nadir_percent: float | None
    basis: str


class TotalForm(TypedDict):
    """The targets of one scan together."""

    day: int
    sum_mm: float
    sum_ml: float | None
    is_complete: bool
    addends: str
    basis: list[str]


class BaselineForm(TotalForm):
    """The first time point."""

    targets: list[str]
    non_targets: list[str]


class AssessmentForm(TotalForm):
    """A later time point."""

    response: str
    response_of_targets: str | None
    from_baseline_percent: float | None
    nadir_mm: float
    from_nadir_percent: float | None
    from_nadir_mm: float | None
    non_targets: str
    new_lesions: list[str]
    volumetric: VolumetricForm


class RecistForm(TypedDict):
    """The proposed course."""

    baseline: BaselineForm
    assessments: list[AssessmentForm]
    progressed_on_day: int | None


class ComparisonForm(TypedDict):
    """What findings.json says under `comparison`."""

    statement: str
    reason: str | None
    registration: Json | None
    time_points: list[TimePointForm]
    lesions: list[LesionForm]
    recist: RecistForm | None
