"""The scans of a course as RECIST needs them: what each shows of every lesion known by then. Judges nothing."""

from __future__ import annotations

from collections.abc import Sequence

from worker.follow_up.comparison import LesionTimeline, TimelineScan
from worker.follow_up.matching import Event
from worker.lesions.uncertainty import Sizes
from worker.priors.read import Prior, PriorLesion
from worker.recist.timepoints import State, TimePoint, TrackedLesion


def earlier_point(prior: Prior) -> TimePoint:
    """Return an earlier scan as a time point."""
    lesions = tuple(_tracked(lesion, lesion.tracking_id, lesion.state, lesion.sizes) for lesion in prior.lesions)
    return TimePoint(date=prior.date, slice_mm=prior.slice_mm, lesions=lesions)


def current_point(scan: TimelineScan, courses: Sequence[LesionTimeline]) -> TimePoint:
    """Return the current scan as a time point."""
    lesions = tuple(_tracked(course, course.name, course.now.state, course.now.sizes) for course in courses)
    return TimePoint(date=scan.date, slice_mm=scan.slice_mm, lesions=lesions)


def _tracked(lesion: PriorLesion | LesionTimeline, name: str, state: State, sizes: Sizes | None) -> TrackedLesion:
    return TrackedLesion(
        tracking_uid=lesion.tracking_uid,
        state=state,
        long_axis_mm=sizes.long_axis_mm if sizes else None,
        volume_ml=sizes.volume_ml if sizes else None,
        merged_into=lesion.merged_into,
        split_from=lesion.split_from if isinstance(lesion, PriorLesion) or lesion.event is Event.SPLIT else None,
        name=name,
    )
