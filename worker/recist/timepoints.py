"""Time points for RECIST: the state and size of a patient's lesions at each date.

Lesions are identified by their tracking UID. Merged, split and vanished lesions are determined by the comparison of
scans beforehand; a lesion that a time point does not list is not evaluable there, not vanished.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

LUNG = "lung"


class State(StrEnum):
    """State of a lesion in a scan."""

    PRESENT = "present"
    TOO_SMALL = "too small to measure"
    """Seen, but without a length."""
    VANISHED = "vanished"
    MERGED = "merged"
    """Part of the lesion `merged_into`, whose long axis is that of both."""
    NOT_EVALUABLE = "not evaluable"
    """Outside of the scan, hidden, or with an uncertain match."""
    DOUBTFUL = "doubtful"
    """Has its own UID, but may be a known lesion or no lesion: not counted as new until a later scan confirms it."""


SEEN = (State.PRESENT, State.TOO_SMALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedLesion:
    """One lesion at one date."""

    tracking_uid: str
    state: State = State.PRESENT
    long_axis_mm: float | None = None
    volume_ml: float | None = None
    merged_into: str | None = None
    """Tracking UID of the lesion that contains it; only if MERGED."""
    split_from: str | None = None
    """Tracking UID of the lesion that it was a part of; given at the first date at which it is separate."""
    name: str = ""
    """Name in the arithmetic, such as `lesion-1`; if empty, the tracking UID is used."""
    organ: str = LUNG
    """Both lungs are one organ."""

    @property
    def label(self) -> str:
        """The name, or the tracking UID if there is no name."""
        return self.name or self.tracking_uid


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePoint:
    """One scan of the patient with every lesion known by then. Raises ValueError if a tracking UID is used twice."""

    date: date
    slice_mm: float
    """Slice thickness."""
    lesions: tuple[TrackedLesion, ...]

    def __post_init__(self) -> None:
        uids = [lesion.tracking_uid for lesion in self.lesions]
        if len(set(uids)) < len(uids):
            raise ValueError(f"{self.date}: a tracking UID is used twice among {len(uids)} lesions")


def in_order(points: Iterable[TimePoint], baseline: date | None = None) -> tuple[TimePoint, ...]:
    """Return the time points from the baseline (default: the first) on, sorted by date.

    Raises ValueError if two time points have the same date (the caller must choose one), or none is the baseline.
    """
    ordered = sorted(points, key=lambda point: point.date)
    dates = [point.date for point in ordered]
    if len(set(dates)) < len(dates):
        raise ValueError("two time points have the same date")
    chosen = tuple(point for point in ordered if baseline is None or point.date >= baseline)
    if not chosen or (baseline is not None and chosen[0].date != baseline):
        raise ValueError("no time point has the date of the baseline")
    return chosen
