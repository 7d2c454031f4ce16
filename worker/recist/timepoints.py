"""What RECIST needs to know of a patient's lesions at each date. Matches no lesions and measures none.

A lesion is known by its tracking UID. What became of a lesion between two scans (merged, split, vanished) is said by
whoever compared them; a lesion of which a time point says nothing is not evaluable there, not gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

LUNG = "lung"


class State(StrEnum):
    """What a scan shows of a lesion."""

    PRESENT = "present"
    TOO_SMALL = "too small to measure"
    """Seen, but no length can be given."""
    VANISHED = "vanished"
    MERGED = "merged"
    """Seen as one with the lesion of `merged_into`, whose long axis is that of both."""
    NOT_EVALUABLE = "not evaluable"
    """Outside of the scan, hidden, or its match is not sure."""
    DOUBTFUL = "doubtful"
    """Under a UID of its own, but it may be a known lesion, or none: not counted as new before a scan confirms it."""


SEEN = (State.PRESENT, State.TOO_SMALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedLesion:
    """One lesion at one date."""

    tracking_uid: str
    state: State = State.PRESENT
    long_axis_mm: float | None = None
    volume_ml: float | None = None
    merged_into: str | None = None
    """Tracking UID of the lesion that holds it; only where it is MERGED."""
    split_from: str | None = None
    """Tracking UID of the lesion that it was a part of, at the first date at which it is apart."""
    name: str = ""
    """How the arithmetic calls it, such as `lesion-1`; the tracking UID where empty."""
    organ: str = LUNG
    """Both lungs are one organ."""

    @property
    def label(self) -> str:
        """Its name, or its tracking UID."""
        return self.name or self.tracking_uid


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePoint:
    """One scan of the patient, and what it shows of every lesion known by then."""

    date: date
    slice_mm: float
    """Slice thickness."""
    lesions: tuple[TrackedLesion, ...]

    def __post_init__(self) -> None:
        uids = [lesion.tracking_uid for lesion in self.lesions]
        if len(set(uids)) < len(uids):
            raise ValueError(f"{self.date}: one tracking UID for {len(uids)} lesions is used twice")


def in_order(points: Iterable[TimePoint], baseline: date | None = None) -> tuple[TimePoint, ...]:
    """Return the time points by date, from the baseline on, which is the first where none is given.

    Raises ValueError where two are of one date (which of them counts is for the caller to say), or none is the
    baseline.
    """
    ordered = sorted(points, key=lambda point: point.date)
    dates = [point.date for point in ordered]
    if len(set(dates)) < len(dates):
        raise ValueError("two time points of one date")
    chosen = tuple(point for point in ordered if baseline is None or point.date >= baseline)
    if not chosen or (baseline is not None and chosen[0].date != baseline):
        raise ValueError("no time point is the baseline")
    return chosen
