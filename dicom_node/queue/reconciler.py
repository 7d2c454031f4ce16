"""Sees to it that no job is forgotten: takes jobs from workers that are gone, and rings for jobs that wait.

Whatever the queue lost or delayed is found here, in the journal. Knows no Redis and no clock: both are given.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from dicom_node.errors import QueueUnavailable
from dicom_node.jobs import Job, JobState
from dicom_node.journal.journal import Journal
from dicom_node.settings import QueueSettings
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

_DAY_S = 86400.0
_FIRST_SILENCE_S = 1.0


def growing_pause(first_s: float, longest_s: float, times: int) -> float:
    """Return how long to wait after so many times: twice as long each time, up to the longest."""
    return float(min(first_s * 2 ** min(times, 30), longest_s))


@dataclass(slots=True)
class Reconciler:
    """Takes back and rings, each time it is asked to."""

    journal: Journal
    enqueue: Callable[[Job], None]
    """Raises QueueUnavailable."""
    queue: QueueSettings
    _failures: int = 0
    _silent_until: float = 0.0

    def step(self, now: float) -> None:
        """Do what is due now."""
        self._take_back(now)
        if now >= self._silent_until:
            self._enqueue_waiting(now)

    def _take_back(self, now: float) -> None:
        for record in self.journal.expired_leases(now):
            key = record.job.job_key
            state = self.journal.requeue(key, now, self.queue.max_attempts)
            level = logging.ERROR if state is JobState.FAILED else logging.WARNING
            log.log(level, "job %s lost its worker, attempt %d: now %s", key, record.attempts + 1, state)

    def _enqueue_waiting(self, now: float) -> None:
        try:
            for record in self.journal.due_for_enqueue(now):
                self.enqueue(record.job)
                pause = growing_pause(self.queue.requeue_after_s, self.queue.requeue_max_s, record.enqueue_count)
                self.journal.mark_enqueued(record.job.job_key, now + pause)
            self._failures = 0
        except QueueUnavailable as error:
            pause = growing_pause(_FIRST_SILENCE_S, self.queue.requeue_after_s, self._failures)
            self._failures += 1
            self._silent_until = now + pause
            log.warning("the queue is away, next try in %.0f s: %s", pause, error)


def remove_committed(journal: Journal, spool: Spool, retention_days: int, now: float) -> list[str]:
    """Remove the received series whose results were committed `retention_days` ago, and return them; 0 removes none."""
    if retention_days == 0:
        return []
    gone = journal.committed_series(now - retention_days * _DAY_S)
    for series_uid in gone:
        spool.remove_series(series_uid)  # first: after a crash between the two, the next call repeats both
        journal.forget_series(series_uid)
        log.info("series %s removed: its results have been committed for %d days", series_uid, retention_days)
    return gone
