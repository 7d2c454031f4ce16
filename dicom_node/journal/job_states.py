"""The states of jobs: which changes are allowed, and the only function that makes them."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from dicom_node.errors import DamagedRecord, ForbiddenChange, UnknownJob
from dicom_node.jobs import JobState
from dicom_node.journal.schema import jobs

ALLOWED: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.SUPERSEDED}),
    JobState.RUNNING: frozenset(
        {JobState.QUEUED, JobState.ANALYSED, JobState.REJECTED, JobState.FAILED, JobState.SUPERSEDED}
    ),
    JobState.ANALYSED: frozenset(
        {JobState.DELIVERED, JobState.COMMITTED, JobState.FAILED, JobState.SUPERSEDED, JobState.QUEUED}
    ),
    JobState.DELIVERED: frozenset(
        {JobState.COMMITTED, JobState.ANALYSED, JobState.FAILED, JobState.SUPERSEDED, JobState.QUEUED}
    ),
    JobState.COMMITTED: frozenset({JobState.SUPERSEDED, JobState.QUEUED}),
    JobState.REJECTED: frozenset({JobState.SUPERSEDED, JobState.QUEUED}),
    JobState.FAILED: frozenset({JobState.SUPERSEDED, JobState.QUEUED}),
    JobState.SUPERSEDED: frozenset({JobState.QUEUED}),
}
"""Allowed changes of a job's state. A repeated job returns to QUEUED; one that a peer lost returns to ANALYSED."""


WITHOUT_RESULTS = (JobState.SUPERSEDED, JobState.QUEUED, JobState.RUNNING)
"""A job in these states has no results, or results that another job has replaced."""


def state_in(connection: Connection, job_key: str) -> str | None:
    """Return what the journal has as the state of a job, even if there is no such state; None if it has no job."""
    return connection.execute(select(jobs.c.state).where(jobs.c.job_key == job_key)).scalar_one_or_none()


def state_of(connection: Connection, job_key: str) -> JobState | None:
    """Return the state of a job; None if it does not exist. Raises DamagedRecord if there is no such state."""
    state = state_in(connection, job_key)
    if state not in (None, *JobState):
        raise DamagedRecord(f"job {job_key}: its state in the journal is damaged")
    return None if state is None else JobState(state)


def change(connection: Connection, job_key: str, state: JobState, now: float, **values: object) -> None:
    """Change the state of a job and other columns; owner, lease and reason are cleared unless given.

    Raises UnknownJob, DamagedRecord, and ForbiddenChange if ALLOWED does not contain the change.
    """
    current = state_of(connection, job_key)
    if current is None:
        raise UnknownJob(f"no job {job_key}")
    if state not in ALLOWED[current]:
        raise ForbiddenChange(f"job {job_key} is {current}, it cannot become {state}")
    columns: dict[str, object] = {"owner": None, "lease_until": None, "reason": None} | values
    connection.execute(update(jobs).where(jobs.c.job_key == job_key).values(state=state, updated_at=now, **columns))
