"""Model of the JSON that `lungspread timeline` writes. Times are days since the first scan, not dates.

Its schema is timeline.schema.json.
"""

from __future__ import annotations

from typing import Final, Literal

from dicom_node.errors import NodeError
from worker.follow_up.comparison import ComparisonStatus
from worker.follow_up.matching import Event
from worker.outputs.json.change_model import ChangeJson
from worker.outputs.json.comparison_model import ObservationJson, RegistrationJson, TimePointJson
from worker.outputs.json.recist_model import RecistJson
from worker.outputs.json.values import JobKey, JsonModel, LesionName, Share, Uid

SCHEMA_VERSION: Final = 2


class NoTimeline(NodeError):  # noqa: N818 - named for the fact
    """There is no timeline: no such patient, no finished job, or an unusable label."""


class OtherScanJson(JsonModel):
    """A scan of the patient that is not part of the timeline."""

    series_uid: Uid
    day: int | None
    """Days since the first scan of the timeline, below 0 before it; null if the timeline has no scan of the journal."""
    state: str
    """State of its job, or RECEIVED without a job."""
    statement: ComparisonStatus | None
    reason: str | None


class TimelineObservationJson(ObservationJson):
    """State and sizes of one lesion at one scan; event and change are those in the report of that scan."""

    event: Event | None
    confidence: Share | None
    change: ChangeJson | None


class TimelineLesionJson(JsonModel):
    """One lesion over all scans."""

    tracking_uid: Uid
    name: LesionName
    possible_match: Uid | None
    """Tracking UID of the known lesion that it may be."""
    merged_into: Uid | None
    split_from: Uid | None
    observations: tuple[TimelineObservationJson, ...]


class TimelinePointJson(TimePointJson):
    """One scan, with the comparison in its own report; null if there is no report by LungSpread."""

    job_key: JobKey | None
    statement: ComparisonStatus | None
    reason: str | None
    registration: RegistrationJson | None


class TimelineJson(JsonModel):
    """What `lungspread timeline` writes: a patient's lesions over all scans, without dates."""

    schema_version: Literal[2]
    notice: str
    patient_key: str | None
    """Null for an output folder."""
    time_points: tuple[TimelinePointJson, ...]
    """By day."""
    lesions: tuple[TimelineLesionJson, ...]
    """Those of the newest scan first."""
    recist: RecistJson | None
    other_scans: tuple[OtherScanJson, ...]
