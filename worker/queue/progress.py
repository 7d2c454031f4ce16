"""The progress of a running job: it keeps the lease, and is where a job that is no longer wanted ends."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from worker.queue.lease import Lease


class WorkerStopping(Exception):  # noqa: N818 - not an error
    """The worker received a signal to stop; its job is released."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobProgress:
    """Called with the finished share of a step, as `models.segmenter.Progress`."""

    lease: Lease
    stopping: threading.Event

    def __call__(self, _fraction: float) -> None:
        """Note progress. Raises WorkerStopping, and LeaseLost if another worker has the job."""
        self.lease.advance()
        self._require_wanted()

    def enter(self, step: str) -> None:
        """Note that a step begins; raises what `__call__` raises."""
        self.lease.enter(step)
        self._require_wanted()

    def _require_wanted(self) -> None:
        if self.stopping.is_set():
            raise WorkerStopping("the worker was stopped")
        self.lease.check()
