"""Types of the comparison in findings.json: comparison.py writes them, `lungspread timeline` reads them.

findings.schema.json describes the same JSON for other readers. Times are days since the first scan, not dates.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from worker.outputs.json.values import Json


class SizesForm(TypedDict):
    """Sizes with the 95 % intervals by the scan alone; unknown intervals are left out."""

    volume_ml: float
    volume_ml_95: NotRequired[list[float]]
    long_axis_mm: float
    long_axis_mm_95: NotRequired[list[float]]
    short_axis_mm: float
    short_axis_mm_95: NotRequired[list[float]]


class ObservationForm(TypedDict):
    """State and sizes of one lesion at one scan."""

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
    """The proposed response by volume."""

    response: str
    sum_ml: float | None
    from_baseline_percent: float | None
    nadir_ml: float | None
    from_nadir_percent: float | None
    basis: str


class TotalForm(TypedDict):
    """Sum over the target lesions of one scan."""

    day: int
    sum_mm: float
    sum_ml: float | None
    is_complete: bool
    addends: str
    basis: list[str]


class BaselineForm(TotalForm):
    """The baseline time point."""

    targets: list[str]
    non_targets: list[str]


class AssessmentForm(TotalForm):
    """The proposed response at a time point after the baseline."""

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
    """The proposed RECIST 1.1 assessments of all time points."""

    baseline: BaselineForm
    assessments: list[AssessmentForm]
    progressed_on_day: int | None


class ComparisonForm(TypedDict):
    """The value of `comparison` in findings.json."""

    statement: str
    reason: str | None
    registration: Json | None
    time_points: list[TimePointForm]
    lesions: list[LesionForm]
    recist: RecistForm | None
