"""The job, its states, its key, and the doorbell that wakes a worker. The journal is the truth, not the queue."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from enum import StrEnum

from celery import Celery

TASK = "lungspread.analyse"
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
    """More slices of the series arrived; a newer job replaces it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What crosses the queue: UIDs and a schema version, never pixels or names."""

    job_key: str
    study_uid: str
    series_uid: str
    recipe: str
    """Hash of the model card and of the settings that change results; opaque to the node."""
    schema_version: int = SCHEMA_VERSION


def job_key(sop_instance_uids: tuple[str, ...], recipe: str) -> str:
    """Return the SHA-256 (64 hex digits) that identifies what a job computes."""
    text = "\n".join([*sorted(sop_instance_uids), recipe])
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def ring(app: Celery, job: Job) -> None:
    """Put the job into the queue, by task name: the node does not import the worker."""
    app.send_task(TASK, kwargs=asdict(job))
