"""Runs one job: claims it in the journal, calls the analysis, and records the result."""

from __future__ import annotations

import faulthandler
import logging
import os
import socket
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from dicom_node.errors import (
    InstancesDamaged,
    JournalUnavailable,
    LeaseLost,
    NewerInstances,
    NodeError,
    SeriesRejected,
)
from dicom_node.jobs import Job, Priority
from dicom_node.journal.journal import Journal
from dicom_node.series import Document
from dicom_node.settings import QueueSettings
from dicom_node.storage.spool import Spool
from models.segmenter import ModelError
from worker.ct.rejections import CutLungs
from worker.queue.job_files import JobFiles, files_of, require_current
from worker.queue.lease import JobLease, JobLimits, Lease
from worker.queue.machine_faults import machine_fault
from worker.queue.machine_pause import MachinePause
from worker.queue.progress import JobProgress, WorkerStopping
from worker.queue.watchdog import Activity
from worker.settings import Settings

log = logging.getLogger(__name__)

_EXIT_HANGING = 1
Outcome = TypeVar("Outcome")
Analyse = Callable[[JobFiles, Path, JobProgress], list[Document]]
"""Writes the documents of a job into a folder and returns them."""
EncodeRejection = Callable[[str, list[Path], SeriesRejected, Path], list[Document]]
"""Writes the documents that report a rejection into a folder: job key, files, rejection, folder."""


class ConfigMismatch(NodeError):  # noqa: N818 - named for the fact
    """The job was created for another model or other settings than this worker has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRunner:
    """Runs jobs, from claim to result. owner: identifies this worker in the journal."""

    journal: Journal
    spool: Spool
    queue: QueueSettings
    limits: JobLimits
    config_hash: str
    analyse: Analyse
    encode_rejection: EncodeRejection = lambda *_: []
    held: Callable[[float], Collection[Priority]] = lambda _: ()
    """Returns the priorities whose jobs wait at a time, for the off-peak hours."""
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}")
    pause: MachinePause = field(default_factory=lambda: MachinePause(stopping=threading.Event()))
    activity: Activity = field(default_factory=Activity)

    @property
    def stopping(self) -> threading.Event:
        """Set when the worker received a signal to stop."""
        return self.pause.stopping

    def run(self, job_key: str) -> None:
        """Run the most urgent queued job, on the message of a job; wait a while if the machine is at fault.

        Raises ModelError if this worker can run no more jobs.
        """
        with self.activity:
            try:
                fault = self._claim_and_run(job_key)
            except JournalUnavailable as error:
                fault = machine_fault(error, self.spool)
            if fault:
                self.pause.wait(fault)

    def _claim_and_run(self, message_key: str) -> str | None:
        """Return the fault of the machine that ended the job, if any."""
        now = time.time()
        lease_until, waiting = now + self.queue.lease_s, self.held(now)
        job_key = self.journal.leases.claim_most_urgent(message_key, self.owner, lease_until, now, waiting)
        if job_key is None:
            log.info("job %s is no longer queued, and no other one is", message_key)
            return None
        log.info("job %s started", job_key)
        lease = JobLease(journal=self.journal.leases, job_key=job_key, owner=self.owner, lease_s=self.queue.lease_s)
        with Lease(lease, self.limits, lambda reason: self._end_hanging(job_key, reason)) as held:
            return self._run_claimed(job_key, held)

    def _run_claimed(self, job_key: str, lease: Lease) -> str | None:
        """Analyse the job; every outcome is recorded in the journal. Return a fault of the machine."""
        try:
            self._analyse_or_reject(job_key, lease)
        except LeaseLost:
            log.warning("job %s: lease lost, result discarded", job_key)
        except (WorkerStopping, ConfigMismatch, NewerInstances) as cause:
            self._release_uncounted(job_key, _reason(cause))
        except ModelError as error:
            self._release_uncounted(job_key, _reason(error))
            raise
        except Exception as error:  # noqa: BLE001 - the task boundary: every job gets an outcome
            if fault := machine_fault(error, self.spool):
                self._release_uncounted(job_key, fault)
                return fault
            self._release_counted(job_key, error)
        return None

    def _analyse_or_reject(self, job_key: str, lease: Lease) -> None:
        try:
            self._analyse(job_key, lease)
        except CutLungs as cut:
            self._put_back(job_key, cut)
        except SeriesRejected as rejection:
            self._reject(job_key, rejection)
        except InstancesDamaged as damaged:
            self._fail(job_key, damaged)
        self.pause.end()

    def _analyse(self, job_key: str, lease: Lease) -> None:
        record = self.journal.jobs.get(job_key)
        self._require_own_config(record.job)
        files = files_of(record, self.journal, self.spool)
        with self.spool.new_outbox(job_key) as folder:
            lease.enter("start")
            try:
                documents = self.analyse(files, folder, JobProgress(lease=lease, stopping=self.stopping))
            finally:
                lease.end_steps()
            self._recorded(lambda: require_current(record, self.journal.series))
            self._recorded(lease.renew)  # no other worker writes this outbox while the lease lasts
            self.spool.publish(folder, job_key)
        if self._recorded(lambda: self.journal.leases.mark_analysed(job_key, self.owner, documents, time.time())):
            log.info("job %s analysed: %d documents", job_key, len(documents))

    def _recorded(self, record: Callable[[], Outcome]) -> Outcome:
        """Record an outcome; while the journal does not respond, wait for it, since the work is done."""
        while True:
            try:
                return record()
            except JournalUnavailable as error:
                if self.stopping.is_set():
                    raise
                self.pause.wait(machine_fault(error, self.spool) or str(error))

    def _reject(self, job_key: str, rejection: SeriesRejected) -> None:
        record = self.journal.jobs.get(job_key)
        paths = self.spool.instance_paths(record.job.series_uid, record.sop_instance_uids)
        with self.spool.new_outbox(job_key) as folder:
            documents = self.encode_rejection(job_key, paths, rejection, folder)
            if documents:
                self.spool.publish(folder, job_key)
        reason = _reason(rejection)
        self._recorded(lambda: self.journal.leases.mark_rejected(job_key, self.owner, reason, time.time(), documents))
        log.warning("job %s rejected: %s", job_key, rejection)

    def _put_back(self, job_key: str, cut: CutLungs) -> None:
        reason = f"{_reason(cut)}; another series of the study is tried first"
        self._recorded(lambda: self.journal.leases.put_back(job_key, self.owner, reason, cut.lungs_ml, time.time()))
        log.info("job %s put back: %s", job_key, cut)

    def _require_own_config(self, job: Job) -> None:
        if job.config_hash != self.config_hash:
            raise ConfigMismatch(
                f"made for configuration {job.config_hash[:12]}, this worker has {self.config_hash[:12]}: "
                "node and worker need the same model and the same worker.outputs"
            )

    def _release_uncounted(self, job_key: str, reason: str) -> None:
        pause_s = 0.0 if self.stopping.is_set() else self.queue.requeue_after_s
        self._recorded(lambda: self.journal.leases.release(job_key, self.owner, reason, time.time(), None, pause_s))
        log.warning("job %s released: %s", job_key, reason)

    def _fail(self, job_key: str, damaged: InstancesDamaged) -> None:
        """Fail a job at once: it is queued again when its instances are received again."""
        reason = _reason(damaged)
        self._recorded(lambda: self.journal.leases.release(job_key, self.owner, reason, time.time(), max_attempts=1))
        log.error("job %s failed: %s", job_key, damaged)

    def _release_counted(self, job_key: str, error: Exception) -> None:
        if not self._recorded(lambda: self._count_attempt(job_key, _reason(error))):
            # Whoever has the job now has removed this attempt's folder.
            log.warning("job %s: lease lost, result discarded (%s)", job_key, _reason(error))
            return
        # Frames without the message: the text of a library's exception may contain patient data from a DICOM file.
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("job %s failed: %s\n%s", job_key, _reason(error), frames)

    def _count_attempt(self, job_key: str, reason: str) -> bool:
        """Return the job to the queue, or fail it after its last attempt; False if its lease was lost."""
        leases, queue = self.journal.leases, self.queue
        return leases.release(job_key, self.owner, reason, time.time(), queue.max_attempts, queue.requeue_after_s)

    def _end_hanging(self, job_key: str, reason: str) -> None:
        """Count the attempt, and end the process to be restarted: nothing else ends a thread that hangs."""
        try:
            self._count_attempt(job_key, f"HangingJob: {reason}")
        except JournalUnavailable as error:
            log.warning("job %s: %s; the node counts the attempt when the lease ends", job_key, error)
        log.critical("job %s: %s: this worker exits, to be restarted", job_key, reason)
        faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr)
        os._exit(_EXIT_HANGING)


def _reason(error: Exception) -> str:
    """Return the loggable part of an error: the type, and the text only of our own errors (UIDs and counts)."""
    if isinstance(error, SeriesRejected):
        return f"{type(error).__name__}: {error.reason}"
    if isinstance(error, MemoryError):
        return "MemoryError: it needs more memory than there is, or than worker.memory_limit_mb allows"
    is_own = isinstance(error, NodeError | ModelError | WorkerStopping)
    return f"{type(error).__name__}: {error}" if is_own else type(error).__name__


@contextmanager
def job_runner(settings: Settings, own_config_hash: str, analyse: Analyse) -> Iterator[JobRunner]:
    """Yield a job runner on the journal and the spool of these settings."""
    node = settings.node
    with Journal(settings.journal.url_in(node.data_dir)) as journal:
        yield JobRunner(
            journal=journal,
            spool=Spool(node.data_dir),
            queue=settings.queue,
            limits=JobLimits(step_s=settings.worker.step_time_limit_s, job_s=settings.worker.job_time_limit_s),
            config_hash=own_config_hash,
            analyse=analyse,
            held=settings.priority.held,
        )
