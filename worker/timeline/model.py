"""Types of the JSON that `lungspread timeline` writes. Times are days since the first scan, not dates."""

from __future__ import annotations

from typing import TypedDict

from worker.outputs.json.model import RecistForm, SizesForm, TimePointForm
from worker.outputs.json.values import Json


class OtherScan(TypedDict):
    """A scan of the patient that is not part of the timeline."""

    series_uid: str
    day: int | None
    """Days since the first scan of the timeline; None if the timeline has no scan of the journal."""
    state: str
    """State of its job, or RECEIVED without a job."""
    statement: str | None
    reason: str | None


class TimelineObservation(TypedDict):
    """State and sizes of one lesion at one scan; event and change are those in the report of that scan."""

    day: int
    state: str
    sizes: SizesForm | None
    event: str | None
    confidence: float | None
    change: Json | None


class TimelineLesion(TypedDict):
    """One lesion over all scans."""

    tracking_uid: str
    name: str
    possible_match: str | None
    merged_into: str | None
    split_from: str | None
    observations: list[TimelineObservation]


class TimelinePoint(TimePointForm):
    """One scan, with the comparison in its own report; None if there is no report by LungSpread."""

    job_key: str | None
    statement: str | None
    reason: str | None
    registration: Json | None


class TimelineForm(TypedDict):
    """The whole timeline."""

    schema_version: int
    notice: str
    patient_key: str | None
    """None for an output folder."""
    time_points: list[TimelinePoint]
    lesions: list[TimelineLesion]
    recist: RecistForm | None
    other_scans: list[OtherScan]
