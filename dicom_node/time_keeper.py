"""Keeps the node's clock with the system's, and the waiting times of the journal with the clock."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dicom_node.clock import CLOCK, Clock
from dicom_node.journal.journal import Journal
from dicom_node.journal.waiting_times import LongestPauses, WaitingTimes
from dicom_node.settings import NodeSettings, QueueSettings

log = logging.getLogger(__name__)

_CUT_INTERVAL_S = 60.0
_SETTLED_AFTER_S = 86400.0


@dataclass(slots=True, kw_only=True)
class TimeKeeper:
    """Notices when the system's clock was set. Nothing waits longer for it, and nothing ends early."""

    waiting: WaitingTimes
    longest: LongestPauses
    clock: Clock = field(default_factory=lambda: CLOCK)
    monotonic: Callable[[], float] = time.monotonic
    _cut_at: float = float("-inf")
    _jumped_at: float = float("-inf")

    @property
    def is_settled(self) -> bool:
        """Whether the clock was not set forward in the last day: a wrong date must not delete what looks old by it."""
        return self.monotonic() - self._jumped_at >= _SETTLED_AFTER_S

    def start(self) -> None:
        """Take the system's time, before anything of this process waits, and correct times in the future."""
        self.clock.restart()
        self.step()

    def step(self) -> None:
        """Follow the clock if it was set; correct times in the future once a minute."""
        if jump_s := self.clock.jump_s():
            self._follow(jump_s)
        if self.monotonic() - self._cut_at >= _CUT_INTERVAL_S:
            if corrected := self.waiting.cut(self.clock.now(), self.longest):
                log.warning("%d times of the journal lay in the future and were corrected: check the clock", corrected)
            self._cut_at = self.monotonic()

    def _follow(self, jump_s: float) -> None:
        """Move the journal's times before a clock that goes forward, after one that goes back.

        In between they lie in the future for a moment, in which nothing is due; never in the past.
        """
        if jump_s > 0:
            self.waiting.move(jump_s)
            self.clock.move(jump_s)
            self._jumped_at = self.monotonic()
        else:
            self.clock.move(jump_s)
            self.waiting.move(jump_s)
        log.warning("the system's clock was set %s by %.0f s; pauses go on", _direction(jump_s), abs(jump_s))


def make_time_keeper(journal: Journal, node: NodeSettings, queue: QueueSettings) -> TimeKeeper:
    """Return the time keeper of a node, whose pauses are not longer than its settings say."""
    longest = LongestPauses(
        enqueue_s=max(queue.requeue_after_s, queue.requeue_max_s),
        retry_s=node.retry_backoff_max_s,
        commitment_s=node.commitment_timeout_s,
    )
    return TimeKeeper(waiting=journal.waiting_times, longest=longest)


def _direction(jump_s: float) -> str:
    return "forward" if jump_s > 0 else "back"
