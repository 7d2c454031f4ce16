"""Celery application and its one task: run a queued job.

Of a message only the job key is used; everything else about the job is read from the journal.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

from celery import Celery, signals
from celery.exceptions import WorkerShutdown

from dicom_node.errors import SeriesRejected
from dicom_node.jobs import TASK, make_celery
from dicom_node.queue.redis_server import redis_url, waiting_messages
from dicom_node.series import Document
from models.segmenter import ModelCard, ModelError, Segmenter
from worker.queue.job_files import JobFiles
from worker.queue.memory_limit import limit_memory
from worker.queue.progress import JobProgress
from worker.queue.runner import Analyse, JobRunner, job_runner
from worker.queue.transport import install_transport
from worker.queue.watchdog import Watchdog, exit_when_stalled
from worker.settings import Settings, config_hash

log = logging.getLogger(__name__)

_EXIT_MODEL_FAILED = 1
_STALLED_AFTER_S = 90.0
_WORKER_OPTIONS = {
    "pool": "solo",
    "concurrency": 1,
    "quiet": True,
    "without_mingle": True,
    "without_gossip": True,
    "without_heartbeat": True,
}


def make_worker_app(settings: Settings, runner: JobRunner) -> Celery:
    """Return the Celery application whose one task runs a job by its key."""
    install_transport()
    app = make_celery(redis_url(settings.queue, settings.node.data_dir))

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def analyse(job_key: str) -> None:
        try:
            runner.run(job_key)
        except ModelError:
            log.critical("the model failed: this worker takes no more jobs")
            raise WorkerShutdown(_EXIT_MODEL_FAILED) from None

    return app


def run_worker(settings: Settings, segmenter: Segmenter) -> int:
    """Run queued jobs until a signal stops the worker; return the exit code, which is 1 if the model failed."""
    own_config_hash = config_hash(settings.worker, segmenter.card)
    with job_runner(settings, own_config_hash, _analyse_with(settings, own_config_hash, segmenter)) as runner:
        if not settings.worker.report_rejected:
            return consume(settings, runner)
        return consume(settings, replace(runner, encode_rejection=partial(_encode_rejection, segmenter.card)))


def consume(settings: Settings, runner: JobRunner) -> int:
    """Take jobs from the queue, one at a time, until a signal ends the process; return its exit code."""
    limit_memory(settings.worker.memory_limit_mb)

    def stop(**_: object) -> None:
        runner.stopping.set()

    def leave_logging_alone(**_: object) -> None:
        """Do nothing: Celery configures no logging if this signal has a receiver."""

    signals.worker_shutting_down.connect(stop, weak=False)
    signals.setup_logging.connect(leave_logging_alone, weak=False)
    worker = make_worker_app(settings, runner).Worker(hostname=runner.owner, **_WORKER_OPTIONS)
    url = redis_url(settings.queue, settings.node.data_dir)
    exit_when_stalled(
        Watchdog(_STALLED_AFTER_S),
        lambda: waiting_messages(url),
        lambda: (runner.activity.received, runner.activity.busy),
    )
    worker.start()
    return int(worker.exitcode or 0)


def _analyse_with(settings: Settings, own_config_hash: str, segmenter: Segmenter) -> Analyse:
    from worker.pipeline import AnalysisRequest, analyse

    def analyse_job(files: JobFiles, folder: Path, progress: JobProgress) -> list[Document]:
        request = AnalysisRequest(
            job_key=files.job_key,
            images_sha256=files.images_sha256,
            config_hash=own_config_hash,
            outputs=settings.worker.outputs,
            priors=files.priors,
            needs_whole_lungs=files.needs_whole_lungs,
            on_step=progress.enter,
            replaces=files.replaces,
        )
        return analyse(files.series, request, segmenter, folder, progress).documents

    return analyse_job


def _encode_rejection(
    card: ModelCard, job_key: str, paths: list[Path], rejection: SeriesRejected, folder: Path
) -> list[Document]:
    from worker.outputs.dicom.rejection import write_rejection

    return write_rejection(paths, rejection, card, job_key, folder)
