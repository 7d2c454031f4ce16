"""Compares what the follow-up said of the phantom's lesions with what is known on paper. Finds no lesion itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from worker.demo.ground_truth import compare
from worker.demo.outcome import LesionOutcome, Outcome
from worker.demo.patient import TrueTimeline
from worker.findings import Findings
from worker.follow_up.matching import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineComparison:
    """One lesion of the phantom, and what was said of it."""

    truth: TrueTimeline
    said: LesionOutcome | None
    """None where the later scan's lesion was missed."""

    @property
    def is_event_right(self) -> bool:
        """Whether it is the same lesion, or a new one, as it is on paper."""
        return self.said is not None and self.said.event is (Event.NEW if self.truth.before is None else Event.SAME)

    @property
    def is_growth_right(self) -> bool:
        """Whether the true doubling time lies within the stated interval; a new lesion has none."""
        if self.truth.before is None:
            return True
        doubling = self.said.doubling if self.said else None
        return doubling is not None and doubling.allows(self.truth.doubling_days)

    @property
    def is_right(self) -> bool:
        """Both."""
        return self.is_event_right and self.is_growth_right


def compare_timelines(outcome: Outcome, later: Findings, courses: Sequence[TrueTimeline]) -> list[TimelineComparison]:
    """Pair each true lesion that the later scan shows with what was said of the finding at its place."""
    said = {lesion.tracking_uid: lesion for lesion in outcome.lesions}
    there = [(course, course.after) for course in courses if course.after is not None]
    pairs = zip(there, compare(later, [lesion for _, lesion in there]), strict=True)
    return [
        TimelineComparison(truth=course, said=said.get(pair.found.lesion.tracking_uid) if pair.found else None)
        for (course, _), pair in pairs
    ]
