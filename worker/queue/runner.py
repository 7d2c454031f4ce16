"""One worker's way with a job: claims it in the journal, has it analysed, records what came of it. Knows no queue.

Knows nothing of CT either; all of that is one call.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dicom_node.errors import LeaseLost, NodeError, SeriesRejected, SpoolFull
from dicom_node.jobs import Job
from dicom_node.journal.journal import Journal
from dicom_node.series import Document
from dicom_node.settings import QueueSettings
from dicom_node.storage.spool import Spool
from models.segmenter import ModelError, Progress
from worker.priors.collect import CollectedFiles, collected_files
from worker.queue.lease import Lease
from worker.settings import Settings

log = logging.getLogger(__name__)

Analyse = Callable[["JobFiles", Path, Progress], list[Document]]
"""Turns the files of a job into documents in a folder."""
EncodeRejection = Callable[[str, list[Path], SeriesRejected, Path], list[Document]]
"""Turns the refusal of a job (key, files) into documents in a folder; none when it is not configured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """What the spool holds for a job."""

    job_key: str
    series: list[Path]
    earlier: CollectedFiles


class WorkerStopping(Exception):  # noqa: N818 - nothing is wrong
    """The worker was asked to end; its job is given back."""


class ConfigMismatch(NodeError):  # noqa: N818 - named for what is the matter
    """The job was made for another model or other settings than this worker's."""


@dataclass(slots=True)
class Activity:
    """How many messages this worker has heard, and whether it is at one of them."""

    heard: int = 0
    busy: bool = False

    def __enter__(self) -> None:
        self.heard, self.busy = self.heard + 1, True

    def __exit__(self, *_: object) -> None:
        self.busy = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRunner:
    """One worker's way with a job, from claim to result."""

    journal: Journal
    spool: Spool
    queue: QueueSettings
    config_hash: str
    analyse: Analyse
    refuse: EncodeRejection = lambda *_: []
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}")
    stopping: threading.Event = field(default_factory=threading.Event)
    activity: Activity = field(default_factory=Activity)

    def take(self, job_key: str) -> None:
        """Do a job if it still waits for somebody. Raises ModelError when this worker can do no more jobs."""
        with self.activity:
            self._take(job_key)

    def _take(self, job_key: str) -> None:
        now = time.time()
        if not self.journal.claim(job_key, self.owner, now + self.queue.lease_s, now):
            log.info("job %s does not wait any more", job_key)
            return
        log.info("job %s begins", job_key)
        with Lease(self.journal, job_key, self.owner, self.queue.lease_s) as lease:
            self._answer(job_key, lease)

    def _answer(self, job_key: str, lease: Lease) -> None:
        """Whatever happens, the journal hears of it."""
        try:
            self._do(job_key, lease)
        except LeaseLost:
            log.warning("job %s: the result is thrown away", job_key)
        except SeriesRejected as refusal:
            self._reject(job_key, refusal)
        except (WorkerStopping, ConfigMismatch, SpoolFull) as untouched:
            self._give_back_uncounted(job_key, untouched)
        except ModelError as error:
            self._give_back_uncounted(job_key, error)
            raise
        except Exception as error:  # noqa: BLE001 - the task boundary: the only one, so that each job has its answer
            self._give_back(job_key, error)

    def _do(self, job_key: str, lease: Lease) -> None:
        record = self.journal.job(job_key)
        self._require_own_config(record.job)
        files = JobFiles(
            job_key=job_key,
            series=self.spool.instance_paths(record.job.series_uid, record.sop_instance_uids),
            earlier=collected_files(self.journal.priors_of(job_key), self.spool),
        )
        with self.spool.new_outbox(job_key) as folder:
            documents = self.analyse(files, folder, self._progress(lease))
            lease.renew()  # from here on nobody else writes this outbox for as long as the lease lasts
            self.spool.publish(folder, job_key)
        if self.journal.mark_analysed(job_key, self.owner, documents, time.time()):
            log.info("job %s analysed: %d documents", job_key, len(documents))

    def _reject(self, job_key: str, refusal: SeriesRejected) -> None:
        record = self.journal.job(job_key)
        paths = self.spool.instance_paths(record.job.series_uid, record.sop_instance_uids)
        with self.spool.new_outbox(job_key) as folder:
            documents = self.refuse(job_key, paths, refusal, folder)
            if documents:
                self.spool.publish(folder, job_key)
        self.journal.mark_rejected(job_key, self.owner, _reason(refusal), time.time(), documents)
        log.warning("job %s rejected: %s", job_key, refusal)

    def _require_own_config(self, job: Job) -> None:
        if job.config_hash != self.config_hash:
            raise ConfigMismatch(
                f"made for recipe {job.config_hash[:12]}, this worker has {self.config_hash[:12]}: "
                "node and worker need the same model and the same worker.outputs"
            )

    def _progress(self, lease: Lease) -> Progress:
        def progress(_share: float) -> None:
            if self.stopping.is_set():
                raise WorkerStopping("the worker was stopped")
            lease.check()

        return progress

    def _give_back_uncounted(self, job_key: str, cause: Exception) -> None:
        pause_s = 0.0 if isinstance(cause, WorkerStopping) else self.queue.requeue_after_s
        self.journal.release(job_key, self.owner, _reason(cause), time.time(), None, pause_s)
        log.warning("job %s given back: %s", job_key, _reason(cause))

    def _give_back(self, job_key: str, error: Exception) -> None:
        max_attempts = self.queue.max_attempts
        self.journal.release(job_key, self.owner, _reason(error), time.time(), max_attempts, self.queue.requeue_after_s)
        # Frames, not values: a foreign error's text may hold what a DICOM file says of the patient.
        frames = "".join(traceback.format_tb(error.__traceback__))
        log.error("job %s failed: %s\n%s", job_key, _reason(error), frames)


def _reason(error: Exception) -> str:
    """Return what may be kept of an error: its text only if it is one of ours, which hold UIDs and counts alone."""
    if isinstance(error, SeriesRejected):
        return f"{type(error).__name__}: {error.reason}"
    is_ours = isinstance(error, NodeError | ModelError | WorkerStopping)
    return f"{type(error).__name__}: {error}" if is_ours else type(error).__name__


def make_job_runner(settings: Settings, own_config_hash: str, analyse: Analyse) -> JobRunner:
    """Return an analyst on the journal and the spool of these settings."""
    node = settings.node
    return JobRunner(
        journal=Journal(settings.journal.url_in(node.data_dir)),
        spool=Spool(node.data_dir),
        queue=settings.queue,
        config_hash=own_config_hash,
        analyse=analyse,
    )
