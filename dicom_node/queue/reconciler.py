"""Queues jobs with expired leases again, and enqueues waiting jobs again.

It reads the journal, so that messages lost or delayed by the queue have no effect.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from dicom_node.errors import QueueUnavailable
from dicom_node.jobs import Job, JobState, Priority
from dicom_node.journal.jobs import JobJournal
from dicom_node.queue.lease_watch import LeaseWatch
from dicom_node.settings import QueueSettings

log = logging.getLogger(__name__)

_QUEUE_BACKOFF_S = 1.0


def backoff_s(first_s: float, longest_s: float, times: int) -> float:
    """Return the pause of exponential backoff in seconds: `first_s`, doubled `times` times, at most `longest_s`."""
    return float(min(first_s * 2 ** min(times, 30), longest_s))


@dataclass(slots=True)
class Reconciler:
    """Requeues jobs whose lease expired, and sends the messages of queued jobs."""

    jobs: JobJournal
    enqueue: Callable[[Job], None]
    """May raise QueueUnavailable."""
    queue: QueueSettings
    monotonic: Callable[[], float] = time.monotonic
    held: Callable[[float], Collection[Priority]] = lambda _: ()
    """Returns the priorities whose jobs wait at a time, for the off-peak hours."""
    _leases: LeaseWatch = field(init=False)
    _failures: int = 0
    _retry_at: float = float("-inf")
    """Of the monotonic clock."""

    def __post_init__(self) -> None:
        self._leases = LeaseWatch(lease_s=self.queue.lease_s)

    def step(self, now: float) -> None:
        """Requeue the jobs whose lease has ended, and enqueue the jobs that are due."""
        self._requeue_ended(now)
        if self.monotonic() >= self._retry_at:
            self._enqueue_waiting(now)

    def _requeue_ended(self, now: float) -> None:
        for job in self._leases.ended(self.jobs.running(), self.monotonic()):
            state = self.jobs.requeue(job, now, self.queue.max_attempts)
            level = logging.ERROR if state is JobState.FAILED else logging.WARNING
            log.log(level, "job %s lost its worker: now %s", job.job_key, state)

    def _enqueue_waiting(self, now: float) -> None:
        try:
            for record in self.jobs.due_for_enqueue(now, self.held(now)):
                self.enqueue(record.job)
                pause = backoff_s(self.queue.requeue_after_s, self.queue.requeue_max_s, record.enqueue_count)
                self.jobs.mark_enqueued(record.job.job_key, now + pause)
            self._failures = 0
        except QueueUnavailable as error:
            pause = backoff_s(_QUEUE_BACKOFF_S, self.queue.requeue_after_s, self._failures)
            self._failures += 1
            self._retry_at = self.monotonic() + pause
            log.warning("queue unavailable, next attempt in %.0f s: %s", pause, error)
