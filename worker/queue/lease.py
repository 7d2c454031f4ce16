"""A worker's lease on a job, renewed by a thread."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Self

from dicom_node.errors import JournalUnavailable, LeaseLost
from dicom_node.journal.leases import LeaseJournal

log = logging.getLogger(__name__)

_RENEWALS = 4  # per lease duration, so that some may fail


class Lease:
    """Renews the lease on a claimed job inside a `with` block."""

    def __init__(self, leases: LeaseJournal, job_key: str, owner: str, lease_s: float) -> None:
        self._leases = leases
        self._job_key = job_key
        self._owner = owner
        self._lease_s = lease_s
        self._ended = threading.Event()
        self._lost = False
        self._thread = threading.Thread(target=self._renew_regularly, name="lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def check(self) -> None:
        """Raise LeaseLost if a renewal has failed."""
        if self._lost:
            raise LeaseLost(f"job {self._job_key}: the lease is lost: another worker has the job, or it was superseded")

    def renew(self) -> None:
        """Renew the lease now. Raises LeaseLost if the journal says that another owner has the job."""
        self._lost = not self._leases.renew(self._job_key, self._owner, time.time() + self._lease_s)
        self.check()

    def _renew_regularly(self) -> None:
        while not self._ended.wait(self._lease_s / _RENEWALS):
            try:
                self.renew()
            except JournalUnavailable as error:
                log.warning("job %s: lease not renewed: %s", self._job_key, error)
            except LeaseLost as error:
                log.warning("%s", error)
                return
