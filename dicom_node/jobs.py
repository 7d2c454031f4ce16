"""The job, its states, its key, and the doorbell that wakes a worker. The journal is the truth, not the queue."""

from __future__ import annotations

import hashlib
import socket
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from celery import Celery
from celery.exceptions import OperationalError

from dicom_node.errors import QueueUnavailable

TASK = "lungspread.analyse"
QUEUE = "lungspread"
SCHEMA_VERSION = 1


class JobState(StrEnum):
    """Where a job stands; `journal.ALLOWED` says which changes are possible."""

    QUEUED = "QUEUED"
    """In the journal, waiting for a worker."""
    RUNNING = "RUNNING"
    """A worker holds its lease."""
    ANALYSED = "ANALYSED"
    """Its documents lie in the outbox."""
    DELIVERED = "DELIVERED"
    """Every destination answered each C-STORE with success."""
    COMMITTED = "COMMITTED"
    """Every destination that is asked for storage commitment has given it."""
    REJECTED = "REJECTED"
    """The series cannot be analysed, final, with the reason."""
    FAILED = "FAILED"
    """Given up after its retries, with the reason."""
    SUPERSEDED = "SUPERSEDED"
    """More slices, or an earlier scan of the patient, arrived; a newer job replaces it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What crosses the queue: UIDs and a schema version, never pixels or names."""

    job_key: str
    study_uid: str
    series_uid: str
    config_hash: str
    """Hash of the model card and of the settings that change results; opaque to the node."""
    schema_version: int = SCHEMA_VERSION


def job_key(sop_instance_uids: tuple[str, ...], config_hash: str, priors: tuple[str, ...] = ()) -> str:
    """Return the SHA-256 (64 hex digits) that identifies what a job computes.

    priors: one text for each earlier scan that it is compared with, in order (`priors.key_parts`).
    """
    text = "\n".join([*sorted(sop_instance_uids), config_hash, *priors])
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def make_celery(redis_url: str) -> Celery:
    """Return a Celery application on this Redis: for the node to ring with, for a worker to listen with."""
    app = Celery("lungspread", broker=redis_url, set_as_current=False)
    app.conf.update(_CONFIGURATION)
    return app


def enqueue(app: Celery, job: Job) -> None:
    """Put the job into the queue, by task name: the node does not import the worker.

    Raises QueueUnavailable, after a few seconds at most.
    """
    try:
        app.send_task(TASK, kwargs=asdict(job), ignore_result=True)
    except OperationalError as error:
        raise QueueUnavailable(f"job {job.job_key}: not rung, {type(error.__cause__ or error).__name__}") from error


# A Redis host that vanished without a word is noticed after about a minute; one that was killed, at once.
_SOCKET: dict[str, Any] = {
    "socket_connect_timeout": 5.0,
    "socket_timeout": 30.0,
    "socket_keepalive": True,
    "socket_keepalive_options": {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3},
    "health_check_interval": 25,
}

_CONFIGURATION: dict[str, Any] = {
    "task_default_queue": QUEUE,
    "task_routes": {TASK: {"queue": QUEUE}},
    "task_serializer": "json",
    "accept_content": ["json"],
    "result_backend": None,
    "task_ignore_result": True,
    # A doorbell: the message is done with when a worker has heard it. The journal keeps the job.
    "task_acks_late": False,
    # No limit of unacknowledged messages: with a limit, a worker whose acknowledgement failed because Redis had been
    # killed believes itself full for ever, and is deaf. A solo worker reads one message at a time all the same.
    "worker_prefetch_multiplier": 0,
    # Nobody sends commands to workers, and a worker tells nobody what it does.
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_cancel_long_running_tasks_on_connection_loss": True,  # concerns late acknowledgement; False warns each time
    "worker_hijack_root_logger": False,
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_connection_timeout": 5.0,
    "broker_transport_options": _SOCKET,
    # The reconciler rings again; the node's loop does not stand still for a queue that is away.
    "task_publish_retry_policy": {"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2},
}
