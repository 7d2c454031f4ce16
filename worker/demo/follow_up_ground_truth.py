"""Compares the reported follow-up of the phantom's lesions with the ground truth."""

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
    """One lesion of the phantom, and its reported outcome."""

    truth: TrueTimeline
    reported: LesionOutcome | None
    """None if the lesion was missed on the later scan."""

    @property
    def is_event_right(self) -> bool:
        """Whether the lesion was reported as the same or as new, as in the ground truth."""
        expected = Event.NEW if self.truth.before is None else Event.SAME
        return self.reported is not None and self.reported.event is expected

    @property
    def is_growth_right(self) -> bool:
        """Whether the true doubling time lies in the reported interval; always true for a new lesion."""
        if self.truth.before is None:
            return True
        doubling = self.reported.doubling if self.reported else None
        return doubling is not None and doubling.allows(self.truth.doubling_days)

    @property
    def is_right(self) -> bool:
        """Whether event and growth are both right."""
        return self.is_event_right and self.is_growth_right


def compare_timelines(outcome: Outcome, later: Findings, truth: Sequence[TrueTimeline]) -> list[TimelineComparison]:
    """Pair each true lesion of the later scan with the reported outcome of the finding at its place."""
    reported = {lesion.tracking_uid: lesion for lesion in outcome.lesions}
    present = [(timeline, timeline.after) for timeline in truth if timeline.after is not None]
    pairs = zip(present, compare(later, [lesion for _, lesion in present]), strict=True)
    return [
        TimelineComparison(
            truth=timeline, reported=reported.get(pair.found.lesion.tracking_uid) if pair.found else None
        )
        for (timeline, _), pair in pairs
    ]
