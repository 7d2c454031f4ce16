"""A worker's lease on a job, renewed by a thread as long as the job makes progress."""

from __future__ import annotations

import faulthandler
import logging
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from dicom_node.errors import JournalUnavailable, LeaseLost
from dicom_node.journal.leases import LeaseJournal

log = logging.getLogger(__name__)

_CHECKS = 4  # per lease duration, so that some renewals may fail; and per time limit
_LEAST_FROZEN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLimits:
    """Time limits in seconds: of a step of a job between two signs of progress, and of the whole job."""

    step_s: float
    job_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLease:
    """The lease on one job. owner: identifies the worker in the journal."""

    journal: LeaseJournal
    job_key: str
    owner: str
    lease_s: float

    def renew(self) -> bool:
        """Renew the lease; False if it was lost.

        The time only tells people when it would end: the node looks whether it changes, since clocks differ.
        """
        return self.journal.renew(self.job_key, self.owner, time.time() + self.lease_s)


class Lease:
    """Renews a lease inside a `with` block until a step, or the job, exceeds its time limit.

    on_hang: called then, in the lease's thread, with the reason; it ends the process, since nothing else ends a thread.
    """

    def __init__(self, lease: JobLease, limits: JobLimits, on_hang: Callable[[str], None]) -> None:
        self._lease, self._limits, self._on_hang = lease, limits, on_hang
        self._step, self._started_at = "", time.monotonic()
        self._progressed_at = self._started_at
        self._is_watched = False
        self._ended = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._watch, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def enter(self, step: str) -> None:
        """Begin a step of the job."""
        self._step, self._is_watched = step, True
        self.advance()

    def advance(self) -> None:
        """Note that the current step makes progress."""
        self._progressed_at = time.monotonic()

    def end_steps(self) -> None:
        """Note that the job's steps are over: what is left, its record in the journal, has no time limit."""
        self._is_watched = False

    def check(self) -> None:
        """Raise LeaseLost if a renewal has failed."""
        if self._lost:
            raise LeaseLost(
                f"job {self._lease.job_key}: the lease is lost: another worker has the job, or it was superseded"
            )

    def renew(self) -> None:
        """Renew the lease now. Raises LeaseLost if the journal says that another owner has the job."""
        self._lost = not self._lease.renew()
        self.check()

    def _watch(self) -> None:
        pause_s = min(self._lease.lease_s, self._limits.step_s, self._limits.job_s) / _CHECKS
        try:
            while not self._ended.wait(pause_s):
                exit_unless_called_within(max(2 * self._lease.lease_s, _LEAST_FROZEN_S))
                if reason := self._overdue():
                    return self._on_hang(reason)
                if not self._lost:
                    self._renew_quietly()
        finally:
            faulthandler.cancel_dump_traceback_later()

    def _overdue(self) -> str:
        """Return which limit is exceeded; empty if none is."""
        now = time.monotonic()
        if not self._is_watched:
            return ""
        if now - self._progressed_at > self._limits.step_s:
            return f'step "{self._step}" made no progress for {self._limits.step_s:g} s (worker.step_time_limit_s)'
        if now - self._started_at > self._limits.job_s:
            return f'not done in {self._limits.job_s:g} s (worker.job_time_limit_s), at step "{self._step}"'
        return ""

    def _renew_quietly(self) -> None:
        try:
            self.renew()
        except JournalUnavailable as error:
            log.warning("job %s: lease not renewed: %s", self._lease.job_key, error)
        except LeaseLost as error:
            log.warning("%s", error)


def exit_unless_called_within(time_limit_s: float) -> None:
    """Have the process exit unless this is called again in time: code that holds the GIL stops this thread, too.

    The lease is lost by then. The timer of faulthandler needs no GIL; it writes the frames of all threads, not values.
    """
    faulthandler.dump_traceback_later(time_limit_s, exit=True, file=sys.__stderr__ or sys.stderr)
