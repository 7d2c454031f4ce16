"""Comparisons as they stand in a test: each lesion a ball whose diameter is said for each day, or a state."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tests.worker.hand_courses import day
from worker.change import Change, Observation, change_of
from worker.comparison import (
    Comparison,
    LesionCourse,
    Origin,
    ReportReference,
    ScanOfCourse,
    Sighting,
    Statement,
)
from worker.matching import Event
from worker.recist import course_of
from worker.registration import Method, Points, Quality, Registration
from worker.tracked import State, TimePoint, TrackedLesion
from worker.uncertainty import Sizes

FIVE_DAYS = (0, 92, 184, 276, 364)


Seen = float | State | tuple[State, float]
"""A diameter in mm where a lesion is present; else its state, with a diameter where it has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a test says of one lesion, by day."""

    number: int
    seen: Mapping[int, Seen]
    event: Event | None = Event.SAME
    possible_match: int | None = None
    merged_into: int | None = None
    split_from: int | None = None


# Five time points: one grows, one shrinks, one is new, one vanished, one merged into the first, one split from the
# second, one is doubtful. Balls of 20, 22, 24 mm ... : sums and volumes are known on paper.
STORY = (
    Told(number=1, seen={0: 20.0, 92: 22.0, 184: 24.0, 276: 27.0, 364: 30.0}),
    Told(number=2, seen={0: 30.0, 92: 26.0, 184: 20.0, 276: 16.0, 364: 14.0}, event=Event.SPLIT),
    Told(number=6, seen={364: 9.0}, event=Event.SPLIT, split_from=2),
    Told(number=3, seen={276: 8.0, 364: 9.0}),
    Told(number=7, seen={364: (State.DOUBTFUL, 7.0)}, event=Event.NEW, possible_match=4),
    Told(number=4, seen={0: 12.0, 92: 10.0, 184: 8.0, 276: 6.0, 364: State.VANISHED}, event=Event.VANISHED),
    Told(number=5, seen={0: 10.0, 92: 11.0, 184: State.MERGED, 276: State.MERGED, 364: State.MERGED}, event=None,
         merged_into=1),
)  # fmt: skip


def ball(diameter_mm: float, slice_mm: float = 1.0) -> Sizes:
    return Sizes(
        volume_ml=round(math.pi / 6 * diameter_mm**3 / 1000, 4),
        long_axis_mm=diameter_mm,
        short_axis_mm=diameter_mm,
        slices=max(1, round(diameter_mm / slice_mm)),
        spacing_mm=(slice_mm, 0.7, 0.7),
    )


def uid(number: int) -> str:
    return f"2.25.{number}"


def compared(lesions: Sequence[Told] = STORY, days: Sequence[int] = FIVE_DAYS) -> Comparison:
    """The last of these days against those before."""
    return Comparison(
        statement=Statement.COMPARED,
        reason=None,
        scans=tuple(scan(each, is_last=each == days[-1]) for each in days),
        registration=REGISTRATION,
        lesions=tuple(_course(told) for told in lesions),
        recist=course_of(_point(lesions, each) for each in days),
    )


def alone(statement: Statement, reason: str | None = None) -> Comparison:
    """A scan without an earlier one."""
    return Comparison(statement=statement, reason=reason, scans=(), registration=None, lesions=(), recist=None)


def scan(days: int, *, is_last: bool) -> ScanOfCourse:
    report = ReportReference(
        study_uid=f"1.2.1.{days}",
        series_uid=f"1.2.5.{days}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
        sop_instance_uid=f"1.2.6.{days}",
    )
    return ScanOfCourse(
        date=day(days),
        study_uid=f"1.2.1.{days}",
        series_uid=f"1.2.2.{days}",
        slice_mm=1.0,
        origin=Origin.OURS,
        report=None if is_last else report,
    )


def _as_they_are(points_mm: Points) -> Points:
    return np.asarray(points_mm)


REGISTRATION = Registration(
    method=Method.DEFORMABLE,
    to_later=_as_they_are,
    quality=Quality(surface_mm=1.25, surface_95_mm=3.5, smallest_jacobian=0.6, largest_jacobian=1.7),
)


def _course(told: Told) -> LesionCourse:
    course = LesionCourse(
        tracking_uid=uid(told.number),
        name=f"lesion-{told.number}",
        sightings=tuple(
            Sighting(
                date=day(days),
                state=_state(seen),
                sizes=_sizes(seen),
            )
            for days, seen in sorted(told.seen.items())
        ),
        event=told.event,
        confidence=None if told.event is None else 0.9,
        possible_match=None if told.possible_match is None else uid(told.possible_match),
        merged_into=None if told.merged_into is None else uid(told.merged_into),
        split_from=None if told.split_from is None else uid(told.split_from),
    )
    return replace(course, change=_change(course))


def _state(seen: Seen) -> State:
    return State.PRESENT if isinstance(seen, float) else seen[0] if isinstance(seen, tuple) else seen


def _sizes(seen: Seen) -> Sizes | None:
    diameter_mm = seen if isinstance(seen, float) else seen[1] if isinstance(seen, tuple) else None
    return None if diameter_mm is None else ball(diameter_mm)


def _change(course: LesionCourse) -> Change | None:
    present = [each for each in course.sightings if each.sizes]
    if len(present) < 2 or course.now.sizes is None:
        return None
    earlier, later = (
        Observation(date=each.date, sizes=each.sizes, kernel="B30f", has_contrast=True)
        for each in present[-2:]
        if each.sizes
    )
    return change_of(earlier, later)


def _point(lesions: Sequence[Told], days: int) -> TimePoint:
    return TimePoint(
        date=day(days), slice_mm=1.0, lesions=tuple(_tracked(told, days) for told in lesions if days in told.seen)
    )


def _tracked(told: Told, days: int) -> TrackedLesion:
    seen = told.seen[days]
    sizes = _sizes(seen)
    merged = seen is State.MERGED and told.merged_into is not None
    return TrackedLesion(
        tracking_uid=uid(told.number),
        name=f"lesion-{told.number}",
        state=_state(seen),
        long_axis_mm=sizes.long_axis_mm if sizes else None,
        volume_ml=sizes.volume_ml if sizes else None,
        merged_into=uid(told.merged_into) if merged and told.merged_into else None,
        split_from=uid(told.split_from) if told.split_from and days == min(told.seen) else None,
    )
