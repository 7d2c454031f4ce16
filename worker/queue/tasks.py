"""The worker at the queue: hears the doorbell, and hands the job to the analyst. Knows neither journal nor CT.

Nothing that a message says is believed but the job's key.
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
from models.segmenter import ModelCard, ModelError, Progress, Segmenter
from worker.queue.runner import Analyse, JobFiles, JobRunner, make_job_runner
from worker.queue.watchdog import Watchdog, exit_when_stalled
from worker.settings import Settings, config_hash

log = logging.getLogger(__name__)

_EXIT_UNABLE = 1
_PATIENCE_S = 90.0
_ALONE = {
    "pool": "solo",
    "concurrency": 1,
    "quiet": True,
    "without_mingle": True,
    "without_gossip": True,
    "without_heartbeat": True,
}


def make_worker_app(settings: Settings, runner: JobRunner) -> Celery:
    """Return the Celery application whose one task hands the job to the analyst."""
    app = make_celery(redis_url(settings.queue, settings.node.data_dir))

    @app.task(name=TASK)  # type: ignore[untyped-decorator]
    def analyse(job_key: str, **_: object) -> None:
        try:
            runner.take(job_key)
        except ModelError:
            log.critical("this worker takes no more jobs")
            raise WorkerShutdown(_EXIT_UNABLE) from None

    return app


def run_worker(settings: Settings, segmenter: Segmenter) -> int:
    """Work until told to stop, and return the exit code: not 0 when the model failed."""
    own_config_hash = config_hash(settings.worker, segmenter.card)
    runner = make_job_runner(settings, own_config_hash, _line(settings, own_config_hash, segmenter))
    if settings.worker.report_rejected:
        runner = replace(runner, refuse=partial(_refuse, segmenter.card))
    return listen(settings, runner)


def listen(settings: Settings, runner: JobRunner) -> int:
    """Take jobs, one at a time, until a signal ends the process; return its exit code."""

    def stop(**_: object) -> None:
        runner.stopping.set()

    def leave_logging_alone(**_: object) -> None:
        """Celery configures no logging when somebody listens to this signal."""

    signals.worker_shutting_down.connect(stop, weak=False)
    signals.setup_logging.connect(leave_logging_alone, weak=False)
    worker = make_worker_app(settings, runner).Worker(hostname=runner.owner, **_ALONE)
    url = redis_url(settings.queue, settings.node.data_dir)
    exit_when_stalled(
        Watchdog(_PATIENCE_S),
        lambda: waiting_messages(url),
        lambda: (runner.activity.heard, runner.activity.busy),
    )
    worker.start()
    return int(worker.exitcode or 0)


def _line(settings: Settings, own_config_hash: str, segmenter: Segmenter) -> Analyse:
    from worker.pipeline import AnalysisRequest, analyse

    def line(files: JobFiles, folder: Path, progress: Progress) -> list[Document]:
        request = AnalysisRequest(
            job_key=files.job_key, config_hash=own_config_hash, outputs=settings.worker.outputs, earlier=files.earlier
        )
        return analyse(files.series, request, segmenter, folder, progress).documents

    return line


def _refuse(card: ModelCard, job_key: str, paths: list[Path], refusal: SeriesRejected, folder: Path) -> list[Document]:
    from worker.outputs.dicom.rejection import write_rejection

    return write_rejection(paths, refusal, card, job_key, folder)
