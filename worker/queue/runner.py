"""Runs one job: claims it in the journal, calls the analysis, and records the result."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dicom_node.errors import LeaseLost, NodeError, SeriesRejected, SpoolFull
from dicom_node.jobs import Job
from dicom_node.journal.journal import Journal
from dicom_node.series import Document
from dicom_node.settings import QueueSettings
from dicom_node.storage.spool import Spool
from models.segmenter import ModelError, Progress
from worker.ct.rejections import CutLungs
from worker.priors.files import CollectedFiles, collected_files
from worker.queue.lease import Lease
from worker.settings import Settings

log = logging.getLogger(__name__)

Analyse = Callable[["JobFiles", Path, Progress], list[Document]]
"""Writes the documents of a job into a folder and returns them."""
EncodeRejection = Callable[[str, list[Path], SeriesRejected, Path], list[Document]]
"""Writes the documents that report a rejection into a folder: job key, files, rejection, folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """The files of a job in the spool: its series and its priors.

    needs_whole_lungs: whether another series of the study can be tried if this one ends within the lungs.
    """

    job_key: str
    series: list[Path]
    priors: CollectedFiles
    needs_whole_lungs: bool = False


class WorkerStopping(Exception):  # noqa: N818 - not an error
    """The worker received a signal to stop; its job is released."""


class ConfigMismatch(NodeError):  # noqa: N818 - named for the fact
    """The job was created for another model or other settings than this worker has."""


@dataclass(slots=True)
class Activity:
    """Number of messages that this worker has received, and whether it is processing one."""

    received: int = 0
    busy: bool = False

    def __enter__(self) -> None:
        self.received, self.busy = self.received + 1, True

    def __exit__(self, *_: object) -> None:
        self.busy = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRunner:
    """Runs jobs, from claim to result. owner: identifies this worker in the journal."""

    journal: Journal
    spool: Spool
    queue: QueueSettings
    config_hash: str
    analyse: Analyse
    encode_rejection: EncodeRejection = lambda *_: []
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}")
    stopping: threading.Event = field(default_factory=threading.Event)
    activity: Activity = field(default_factory=Activity)

    def run(self, job_key: str) -> None:
        """Run a job if it is still queued. Raises ModelError if this worker can run no more jobs."""
        with self.activity:
            self._claim_and_run(job_key)

    def _claim_and_run(self, job_key: str) -> None:
        now = time.time()
        if not self.journal.leases.claim(job_key, self.owner, now + self.queue.lease_s, now):
            log.info("job %s is no longer queued", job_key)
            return
        log.info("job %s started", job_key)
        with Lease(self.journal.leases, job_key, self.owner, self.queue.lease_s) as lease:
            self._run_claimed(job_key, lease)

    def _run_claimed(self, job_key: str, lease: Lease) -> None:
        """Analyse the job; every outcome is recorded in the journal."""
        try:
            self._analyse(job_key, lease)
        except LeaseLost:
            log.warning("job %s: lease lost, result discarded", job_key)
        except CutLungs as cut:
            self._put_back(job_key, cut)
        except SeriesRejected as rejection:
            self._reject(job_key, rejection)
        except (WorkerStopping, ConfigMismatch, SpoolFull) as cause:
            self._release_uncounted(job_key, cause)
        except ModelError as error:
            self._release_uncounted(job_key, error)
            raise
        except Exception as error:  # noqa: BLE001 - the task boundary: every job gets an outcome
            self._release_counted(job_key, error)

    def _analyse(self, job_key: str, lease: Lease) -> None:
        record = self.journal.jobs.get(job_key)
        self._require_own_config(record.job)
        files = JobFiles(
            job_key=job_key,
            series=self.spool.instance_paths(record.job.series_uid, record.sop_instance_uids),
            priors=collected_files(self.journal.priors.of_job(job_key), self.spool),
            needs_whole_lungs=self.journal.selections.may_be_put_back(record.job.series_uid),
        )
        with self.spool.new_outbox(job_key) as folder:
            documents = self.analyse(files, folder, self._progress(lease))
            lease.renew()  # no other worker writes this outbox while the lease lasts
            self.spool.publish(folder, job_key)
        if self.journal.leases.mark_analysed(job_key, self.owner, documents, time.time()):
            log.info("job %s analysed: %d documents", job_key, len(documents))

    def _reject(self, job_key: str, rejection: SeriesRejected) -> None:
        record = self.journal.jobs.get(job_key)
        paths = self.spool.instance_paths(record.job.series_uid, record.sop_instance_uids)
        with self.spool.new_outbox(job_key) as folder:
            documents = self.encode_rejection(job_key, paths, rejection, folder)
            if documents:
                self.spool.publish(folder, job_key)
        self.journal.leases.mark_rejected(job_key, self.owner, _reason(rejection), time.time(), documents)
        log.warning("job %s rejected: %s", job_key, rejection)

    def _put_back(self, job_key: str, cut: CutLungs) -> None:
        reason = f"{_reason(cut)}; another series of the study is tried first"
        self.journal.leases.put_back(job_key, self.owner, reason, cut.lungs_ml, time.time())
        log.info("job %s put back: %s", job_key, cut)

    def _require_own_config(self, job: Job) -> None:
        if job.config_hash != self.config_hash:
            raise ConfigMismatch(
                f"made for configuration {job.config_hash[:12]}, this worker has {self.config_hash[:12]}: "
                "node and worker need the same model and the same worker.outputs"
            )

    def _progress(self, lease: Lease) -> Progress:
        def progress(_fraction: float) -> None:
            if self.stopping.is_set():
                raise WorkerStopping("the worker was stopped")
            lease.check()

        return progress

    def _release_uncounted(self, job_key: str, cause: Exception) -> None:
        pause_s = 0.0 if isinstance(cause, WorkerStopping) else self.queue.requeue_after_s
        self.journal.leases.release(job_key, self.owner, _reason(cause), time.time(), None, pause_s)
        log.warning("job %s released: %s", job_key, _reason(cause))

    def _release_counted(self, job_key: str, error: Exception) -> None:
        max_attempts = self.queue.max_attempts
        is_owner = self.journal.leases.release(
            job_key, self.owner, _reason(error), time.time(), max_attempts, self.queue.requeue_after_s
        )
        if not is_owner:  # whoever has the job now has removed this attempt's folder
            log.warning("job %s: lease lost, result discarded (%s)", job_key, _reason(error))
            return
        # Frames without the message: the text of a library's exception may contain patient data from a DICOM file.
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("job %s failed: %s\n%s", job_key, _reason(error), frames)


def _reason(error: Exception) -> str:
    """Return the loggable part of an error: the type, and the text only of our own errors (UIDs and counts)."""
    if isinstance(error, SeriesRejected):
        return f"{type(error).__name__}: {error.reason}"
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
            config_hash=own_config_hash,
            analyse=analyse,
        )
