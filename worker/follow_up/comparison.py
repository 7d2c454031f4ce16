"""One patient over time: which lesion is which, how each changed, and the response. Encodes nothing, reads no files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from worker.follow_up.change import Change
from worker.follow_up.matching import Event
from worker.lesions.uncertainty import Sizes
from worker.recist.assessment import Course
from worker.recist.timepoints import State
from worker.registration.register import Registration


class Statement(StrEnum):
    """What could be done about earlier scans; exactly one is in each report."""

    COMPARED = "compared with a prior"
    NO_PRIOR = "no prior exists"
    NOT_FETCHED = "priors could not be fetched"
    NOT_COMPARABLE = "prior not comparable"
    NOT_QUERIED = "priors were not asked for"


class Origin(StrEnum):
    """Who outlined a time point."""

    OURS = "ours"
    READER = "reader"
    """A reader corrected our result, or made one; it takes precedence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportReference:
    """An SR of an earlier time point, as another SR refers to it."""

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """A CT image of an earlier time point, as an SR refers to it."""

    study_uid: str
    series_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineScan:
    """One time point: a scan of the patient, the current one included."""

    date: date
    study_uid: str
    series_uid: str
    slice_mm: float
    origin: Origin
    report: ReportReference | None
    """Its SR; None of the current scan, and where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionObservation:
    """What one scan shows of one lesion."""

    date: date
    state: State
    sizes: Sizes | None
    """None unless PRESENT or DOUBTFUL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionTimeline:
    """One lesion over all time points, by its tracking UID; those that are gone are among them."""

    tracking_uid: str
    name: str
    """The tracking identifier, such as `lesion-1`; it stays with the tracking UID."""
    observations: tuple[LesionObservation, ...]
    """By date; a time point before the lesion was first seen is left out."""
    event: Event | None
    """Since the last time point; None of the first one, and of a lesion that was gone before and still is."""
    confidence: float | None
    possible_match: str | None = None
    """Tracking UID of the known lesion that this one may be, where the match is in doubt."""
    merged_into: str | None = None
    split_from: str | None = None
    """Tracking UID of the lesion that it was a part of, from the scan on that first showed it apart."""
    change: Change | None = None
    """Since the last time point that showed it."""
    earlier_image: ImageReference | None = None
    """The image through its middle at that time point; None where that CT is not at hand."""

    @property
    def now(self) -> LesionObservation:
        """What the current scan shows."""
        return self.observations[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The current scan among the patient's earlier ones."""

    statement: Statement
    reason: str | None
    """Why there is no comparison, in one line without patient data."""
    scans: tuple[TimelineScan, ...]
    """By date, the current one last."""
    registration: Registration | None
    """With the scan before; None where there is none."""
    lesions: tuple[LesionTimeline, ...]
    """Those of the current scan first, the largest first, then those that are gone."""
    recist: Course | None
    """None at the first time point."""
