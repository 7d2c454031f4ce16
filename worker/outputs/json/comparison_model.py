"""Models of the comparison in findings.json; times are days since the first scan, not dates.

Tracking UIDs identify lesions, Series Instance UIDs identify scans.
"""

from __future__ import annotations

from worker.follow_up.comparison import ComparisonStatus, Origin
from worker.follow_up.matching import Event
from worker.outputs.json.change_model import ChangeJson
from worker.outputs.json.recist_model import RecistJson
from worker.outputs.json.values import Day, Ends, JsonModel, LesionName, Share, Size, Uid
from worker.recist.timepoints import State
from worker.registration.register import Method


class SizesJson(JsonModel):
    """Sizes with the 95 % intervals by the scan alone (worker/lesions/uncertainty.py)."""

    volume_ml: Size
    volume_ml_95: Ends
    long_axis_mm: Size
    long_axis_mm_95: Ends
    short_axis_mm: Size
    short_axis_mm_95: Ends


class ObservationJson(JsonModel):
    """State and sizes of one lesion at one scan."""

    day: Day
    state: State
    sizes: SizesJson | None


class LesionTimelineJson(JsonModel):
    """One lesion over time; event, confidence and change are those of the current scan."""

    tracking_uid: Uid
    name: LesionName
    event: Event | None
    """Since the scan before."""
    confidence: Share | None
    """Of the event."""
    possible_match: Uid | None
    """Tracking UID of the known lesion that it may be."""
    merged_into: Uid | None
    split_from: Uid | None
    observations: tuple[ObservationJson, ...]
    """By day, from the first scan that showed it."""
    change: ChangeJson | None
    """Since the last scan with its sizes."""


class TimePointJson(JsonModel):
    """One scan."""

    day: Day
    study_uid: Uid
    series_uid: Uid
    slice_mm: Size
    outlined_by: Origin
    report_uid: Uid | None
    """SOP Instance UID of its SR."""
    burden_ml: Size
    """Volume of all lesions that were measured."""
    is_burden_complete: bool
    """False: the burden is at least this large."""


class RegistrationJson(JsonModel):
    """Registration with the scan before."""

    method: Method
    reason: str | None
    """Why it is no better."""
    surface_mm: Size | None
    """Mean distance of the lungs' surfaces."""
    surface_95_mm: Size | None
    """95th percentile of that distance."""
    smallest_jacobian: float | None
    """Of the deformation; not above 0 where it folds."""
    largest_jacobian: float | None


class ComparisonJson(JsonModel):
    """The comparison with the patient's prior scans, without dates."""

    statement: ComparisonStatus
    reason: str | None
    """Why there is no comparison, or a prior is missing from it."""
    registration: RegistrationJson | None
    time_points: tuple[TimePointJson, ...]
    """By day, the current scan last; none without a comparison."""
    lesions: tuple[LesionTimelineJson, ...]
    """Those of the current scan first, then those that are gone."""
    recist: RecistJson | None
    """Null at the first scan."""
