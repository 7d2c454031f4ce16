"""Jobs: states, key, and the Celery message that wakes a worker. Job states are in the journal, not in the queue."""

from __future__ import annotations

import hashlib
import socket
import ssl
from dataclasses import asdict, dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any, Literal

from dicom_node.errors import QueueUnavailable

if TYPE_CHECKING:
    from celery import Celery

TASK = "lungspread.analyse"
QUEUE = "lungspread"
SCHEMA_VERSION = 1


class JobState(StrEnum):
    """The state of a job; `journal.job_states.ALLOWED` lists the possible changes."""

    QUEUED = "QUEUED"
    """In the journal, waiting for a worker."""
    RUNNING = "RUNNING"
    """A worker holds its lease."""
    ANALYSED = "ANALYSED"
    """Its documents are in the outbox."""
    DELIVERED = "DELIVERED"
    """Every destination answered each C-STORE with success."""
    COMMITTED = "COMMITTED"
    """Every destination that supports storage commitment has committed its documents."""
    REJECTED = "REJECTED"
    """The series cannot be analysed; final, with a reason."""
    FAILED = "FAILED"
    """Given up after all retries, with a reason."""
    SUPERSEDED = "SUPERSEDED"
    """A newer job replaces it: more slices, or a prior scan of the patient, arrived."""


class Priority(IntEnum):
    """How urgent a job is: of the queued ones, a worker takes the most urgent."""

    STAT = 0
    HIGH = 1
    ROUTINE = 2
    LOW = 3
    """Earlier scans that were fetched to be compared with."""


PriorityName = Literal["stat", "high", "routine", "low"]


def priority_named(name: PriorityName) -> Priority:
    """Return the priority of this name."""
    return Priority[name.upper()]


class DeliveryState(StrEnum):
    """The state of one document at one peer."""

    PENDING = "PENDING"
    """To be sent, or to be sent again."""
    STORED = "STORED"
    """The peer has answered that it stored it."""
    COMMITTED = "COMMITTED"
    """The peer has taken responsibility for it."""
    REFUSED = "REFUSED"
    """The peer refused it; final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The message in the queue: UIDs and a schema version, never pixels or names."""

    job_key: str
    study_uid: str
    series_uid: str
    config_hash: str
    """Hash of the model card and of the settings that change results; the node does not interpret it."""
    schema_version: int = SCHEMA_VERSION


def job_key(images_sha256: str, config_hash: str, priors: tuple[str, ...] = ()) -> str:
    """Return the SHA-256 (64 hex digits) that identifies the input of a job.

    images_sha256: of the series and the content of its instances (`series.images_sha256`).
    priors: one text per prior scan that it is compared with, in order (`prior.key_parts`).
    """
    text = "\n".join([images_sha256, config_hash, *priors])
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def make_celery(redis_url: str) -> Celery:
    """Return the Celery application on this Redis, for the node (producer) and the worker (consumer).

    Celery is imported here: it takes a quarter of the node's start, and whoever reads job states does not need it.
    """
    from celery import Celery

    app = Celery("lungspread", broker=redis_url, set_as_current=False)
    if redis_url.startswith("rediss://"):  # kombu would accept any certificate
        app.conf.broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED}
    app.conf.update(_CONFIGURATION)
    return app


def enqueue(app: Celery, job: Job) -> None:
    """Send the job to the queue by task name, so that the node does not import the worker.

    Raises QueueUnavailable after a few seconds at most.
    """
    from celery.exceptions import OperationalError

    try:
        app.send_task(TASK, kwargs=asdict(job), ignore_result=True)
    except OperationalError as error:
        raise QueueUnavailable(f"job {job.job_key}: not enqueued, {type(error.__cause__ or error).__name__}") from error


# A Redis host that is unreachable is detected after about a minute; a Redis process that was killed, at once.
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
    # The message only wakes a worker, so it is acknowledged on receipt; the journal keeps the job.
    "task_acks_late": False,
    # No limit of unacknowledged messages: with a limit, a worker whose acknowledgement failed because Redis was killed
    # counts it as open for ever and consumes nothing more. A solo worker reads one message at a time anyway.
    "worker_prefetch_multiplier": 0,
    # No remote control and no events: nothing uses them.
    "worker_enable_remote_control": False,
    "worker_send_task_events": False,
    "worker_cancel_long_running_tasks_on_connection_loss": True,  # for late acknowledgement; False logs a warning
    "worker_hijack_root_logger": False,
    "broker_connection_retry": True,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_connection_timeout": 5.0,
    "broker_transport_options": _SOCKET,
    # Few retries: the reconciler enqueues again, and its loop must not block while the queue is unavailable.
    "task_publish_retry_policy": {"max_retries": 2, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.2},
}
