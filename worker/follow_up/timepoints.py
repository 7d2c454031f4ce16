"""Conversion of prior and current scans to RECIST time points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from worker.follow_up.comparison import LesionTimeline, TimelineScan
from worker.follow_up.lesion_history import KnownLesion
from worker.follow_up.matching import Event
from worker.follow_up.prior import Prior, PriorLesion
from worker.lesions.lesion import name_of
from worker.lesions.uncertainty import Sizes
from worker.recist.timepoints import State, TimePoint, TrackedLesion


def prior_time_point(prior: Prior, known: Mapping[str, KnownLesion]) -> TimePoint:
    """Return a prior scan as a RECIST time point. known: the lesions of all prior scans by tracking UID."""
    lesions = tuple(
        _tracked(lesion, name_of(known[lesion.tracking_uid].number), lesion.state, lesion.sizes)
        for lesion in prior.lesions
    )
    return TimePoint(date=prior.date, slice_mm=prior.slice_mm, lesions=lesions)


def current_time_point(scan: TimelineScan, timelines: Sequence[LesionTimeline]) -> TimePoint:
    """Return the current scan as a RECIST time point."""
    lesions = tuple(_tracked(timeline, timeline.name, timeline.now.state, timeline.now.sizes) for timeline in timelines)
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
