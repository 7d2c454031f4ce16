"""Result of a comparison with prior scans: scans, lesion timelines, registration and RECIST response."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from worker.follow_up.change import Change
from worker.follow_up.matching import Event
from worker.frame import Frame
from worker.lesions.lesion import name_of
from worker.lesions.uncertainty import Sizes
from worker.recist.assessment import ResponseTimeline
from worker.recist.timepoints import State
from worker.registration.register import Registration


class ComparisonStatus(StrEnum):
    """Outcome of the comparison with prior scans; each report contains exactly one."""

    COMPARED = "compared with a prior"
    NO_PRIOR = "no prior exists"
    NOT_FETCHED = "priors could not be fetched"
    NOT_COMPARABLE = "prior not comparable"
    NOT_QUERIED = "priors were not asked for"


class Origin(StrEnum):
    """Origin of the outlines of a time point."""

    OURS = "ours"
    READER = "reader"
    """Made or corrected by a reader; takes precedence over ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportReference:
    """Reference to the SR of a prior time point."""

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReference:
    """Reference to a CT image, or a frame of it, of a prior time point."""

    study_uid: str
    series_uid: str
    frame: Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineScan:
    """One scan of the patient in the timeline, prior or current."""

    date: date
    study_uid: str
    series_uid: str
    slice_mm: float
    origin: Origin
    report: ReportReference | None
    """Its SR; None for the current scan or without an SR."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionObservation:
    """State and sizes of one lesion in one scan."""

    date: date
    state: State
    sizes: Sizes | None
    """None unless PRESENT or DOUBTFUL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionTimeline:
    """One lesion, identified by its tracking UID, over all time points; includes lesions that have vanished."""

    tracking_uid: str
    number: int
    """For life, together with the tracking UID."""
    observations: tuple[LesionObservation, ...]
    """By date, from the time point that first showed the lesion."""
    event: Event | None
    """Since the previous time point; None at the first one, and for a lesion that is still absent."""
    confidence: float | None
    """Confidence of the match, 0 to 1; None for a lesion that the current scan does not show separately."""
    possible_match: str | None = None
    """Tracking UID of the known lesion that this may be, if the match is doubtful."""
    merged_into: str | None = None
    """Tracking UID of the lesion that contains it."""
    split_from: str | None = None
    """Tracking UID of the lesion that it was a part of, from the scan that first showed it separately."""
    change: Change | None = None
    """Since the last time point with its sizes."""
    prior_image: ImageReference | None = None
    """CT image through its centre at the last time point that outlined it; None if that CT is not available."""

    @property
    def name(self) -> str:
        """The tracking identifier, such as `lesion-1`."""
        return name_of(self.number)

    @property
    def now(self) -> LesionObservation:
        """The observation in the current scan."""
        return self.observations[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Comparison of the current scan with the patient's prior scans."""

    statement: ComparisonStatus
    reason: str | None
    """Why there is no comparison or a prior scan is missing from it, in one line without patient data."""
    scans: tuple[TimelineScan, ...]
    """By date, the current scan last."""
    registration: Registration | None
    """With the latest prior scan; None without a comparison."""
    lesions: tuple[LesionTimeline, ...]
    """Lesions of the current scan, largest first, then absent lesions."""
    recist: ResponseTimeline | None
    """None without a comparison."""
