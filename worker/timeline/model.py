"""The form of the JSON that `lungspread timeline` writes, as types. Holds no date."""

from __future__ import annotations

from typing import TypedDict

from worker.outputs.json.model import RecistForm, SizesForm, TimePointForm
from worker.outputs.json.values import Json


class OtherScan(TypedDict):
    """A scan of the patient that is no part of the course."""

    series_uid: str
    day: int | None
    """Counted as in the course; None where the journal does not know."""
    state: str
    """Of its job; RECEIVED where it has none."""
    statement: str | None
    reason: str | None


class TimelineObservation(TypedDict):
    """What one scan shows of one lesion, and what its own report says became of it since the scan before."""

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
    """One scan, and what its own report says of its comparison; None where there is no report of ours."""

    job_key: str | None
    statement: str | None
    reason: str | None
    registration: Json | None


class TimelineForm(TypedDict):
    """The whole course."""

    schema_version: int
    notice: str
    patient_key: str | None
    """None of an output folder."""
    time_points: list[TimelinePoint]
    lesions: list[TimelineLesion]
    recist: RecistForm | None
    other_scans: list[OtherScan]
