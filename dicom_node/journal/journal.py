"""The journal: what was received, where each job stands, what was delivered. The truth; knows no files and no network.

Every method is one transaction. All times are UTC, seconds since 1970, given by the caller.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, Row, and_, insert, select, update

from dicom_node.errors import ForbiddenChange, InstancesRemoved, UnknownJob
from dicom_node.jobs import Job, JobState, job_key
from dicom_node.journal.commitments import CommitmentJournal
from dicom_node.journal.deliveries import DeliveryJournal, clear_results
from dicom_node.journal.delivery_records import DeliveryRecord, DeliveryState
from dicom_node.journal.priors import PriorJournal, put_priors
from dicom_node.journal.schema import ALLOWED, change, documents, jobs, series, state_of
from dicom_node.journal.series import SeriesJournal, uids_of
from dicom_node.prior import NOT_QUERIED, Priors, key_parts
from dicom_node.series import Document, Series

__all__ = ["ALLOWED", "DeliveryRecord", "DeliveryState", "JobRecord", "Journal"]

_REPEATED = (JobState.REJECTED, JobState.FAILED, JobState.SUPERSEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job as the journal holds it."""

    job: Job
    state: JobState
    reason: str | None
    attempts: int
    """How often it failed or lost its worker."""
    enqueue_count: int
    """How often a worker was rung for, since it was last queued."""
    sop_instance_uids: tuple[str, ...]
    created_at: float
    updated_at: float


class Journal(SeriesJournal, PriorJournal, DeliveryJournal, CommitmentJournal):
    """Jobs; and, inherited, received series, patients over time, deliveries and promises."""

    # -- jobs, as the node sees them --

    def create_job(self, found: Series, config_hash: str, now: float, priors: Priors = NOT_QUERIED) -> Job | None:
        """Queue the job of a quiet series, in place of the series' earlier ones; None when there is nothing to do.

        Nothing is to do when more has arrived since, or when this very job exists. One that was rejected, failed or
        replaced is queued again, since its content may have been repaired.
        """
        key = job_key(found.sop_instance_uids, config_hash, key_parts(priors))
        job = Job(job_key=key, study_uid=found.study_uid, series_uid=found.series_uid, config_hash=config_hash)
        with self._write() as connection:
            state = state_of(connection, key)
            # While it runs its outcome is open: the series stays dirty and is looked at again.
            if state is JobState.RUNNING or uids_of(connection, found.series_uid) != found.sop_instance_uids:
                return None
            of_series = series.c.series_uid == found.series_uid
            connection.execute(update(series).where(of_series).values(dirty=False))
            if state is None:
                _insert(connection, job, found.sop_instance_uids, now)
                put_priors(connection, key, priors)
            elif state in _REPEATED:
                _repeat(connection, key, now)
            else:
                return None
            _supersede_others(connection, job, now)
            return job

    def reopen_outdated(self, config_hash: str) -> int:
        """Make dirty the series whose waiting job was made for another recipe, and return how many."""
        outdated = select(jobs.c.series_uid).where(jobs.c.state == JobState.QUEUED, jobs.c.config_hash != config_hash)
        with self._write() as connection:
            reopen = update(series).where(series.c.series_uid.in_(outdated), ~series.c.dirty).values(dirty=True)
            return connection.execute(reopen).rowcount

    def job(self, job_key: str) -> JobRecord:
        """Return a job. Raises UnknownJob."""
        found = self._jobs(jobs.c.job_key == job_key)
        if not found:
            raise UnknownJob(f"no job {job_key}")
        return found[0]

    def jobs(self, states: Collection[JobState] = tuple(JobState)) -> list[JobRecord]:
        """Return all jobs in these states, the oldest first."""
        return self._jobs(jobs.c.state.in_(states))

    def due_for_enqueue(self, now: float) -> list[JobRecord]:
        """Return the waiting jobs for which a worker is to be rung now."""
        return self._jobs(jobs.c.state == JobState.QUEUED, jobs.c.next_enqueue_at <= now)

    def mark_enqueued(self, job_key: str, next_enqueue_at: float) -> None:
        """Record that a worker was rung for, and when to ring again."""
        rung = update(jobs).where(jobs.c.job_key == job_key)
        with self._write() as connection:
            connection.execute(rung.values(enqueue_count=jobs.c.enqueue_count + 1, next_enqueue_at=next_enqueue_at))

    def expired_leases(self, now: float) -> list[JobRecord]:
        """Return the jobs whose worker has not been heard of in time."""
        return self._jobs(jobs.c.state == JobState.RUNNING, jobs.c.lease_until < now)

    def requeue(self, job_key: str, now: float, max_attempts: int) -> JobState:
        """Take a job from a worker that is gone: queued again, or failed after its last attempt. Return its state."""
        expired = and_(jobs.c.job_key == job_key, jobs.c.state == JobState.RUNNING, jobs.c.lease_until < now)
        with self._write() as connection:
            if connection.execute(select(jobs.c.job_key).where(expired)).first():
                _give_back(connection, job_key, "its worker ended without an answer", now, max_attempts)
            return JobState(connection.execute(select(jobs.c.state).where(jobs.c.job_key == job_key)).scalar_one())

    def retry(self, job_key: str, now: float) -> None:
        """Queue a job that is at its end once more.

        Raises UnknownJob; ForbiddenChange when it waits or runs; InstancesRemoved when its series is not held any more.
        """
        wanted = set(self.job(job_key).sop_instance_uids)
        if missing := wanted - self.has_instances(wanted):
            raise InstancesRemoved(f"job {job_key}: {len(missing)} of {len(wanted)} instances are no longer held")
        with self._write() as connection:
            if (state := state_of(connection, job_key)) in (JobState.QUEUED, JobState.RUNNING):
                raise ForbiddenChange(f"job {job_key} is {state} already")
            _repeat(connection, job_key, now)

    # -- jobs, as a worker sees them --

    def claim(self, job_key: str, owner: str, lease_until: float, now: float) -> bool:
        """Take a waiting job; False when it does not wait (any more). Of all who ask, one gets it."""
        with self._write() as connection:
            if state_of(connection, job_key) is not JobState.QUEUED:
                return False
            change(connection, job_key, JobState.RUNNING, now, owner=owner, lease_until=lease_until)
            return True

    def renew(self, job_key: str, owner: str, lease_until: float) -> bool:
        """Prolong the lease; False when it is lost."""
        with self._write() as connection:
            held = _held_by(connection, job_key, owner)
            if held:
                connection.execute(update(jobs).where(jobs.c.job_key == job_key).values(lease_until=lease_until))
            return held

    def mark_analysed(self, job_key: str, owner: str, results: Sequence[Document], now: float) -> bool:
        """Record the documents that lie in the outbox; False, and nothing recorded, when the lease is lost."""
        with self._write() as connection:
            if not _held_by(connection, job_key, owner):
                return False
            _put_results(connection, job_key, results)
            change(connection, job_key, JobState.ANALYSED, now)
            return True

    def mark_rejected(
        self, job_key: str, owner: str, reason: str, now: float, results: Sequence[Document] = ()
    ) -> bool:
        """Record that the series cannot be analysed; False when the lease is lost.

        A report of it, if there is one, is delivered; the job stays REJECTED.
        """
        with self._write() as connection:
            held = _held_by(connection, job_key, owner)
            if held:
                _put_results(connection, job_key, results)
                change(connection, job_key, JobState.REJECTED, now, reason=reason)
            return held

    def release(
        self, job_key: str, owner: str, reason: str, now: float, max_attempts: int | None, pause_s: float = 0.0
    ) -> bool:
        """Give a job back after a failure: queued again, or failed after its last attempt.

        Without `max_attempts` the failure was not the job's, and is not counted. False when the lease is lost.
        """
        with self._write() as connection:
            held = _held_by(connection, job_key, owner)
            if held:
                _give_back(connection, job_key, reason, now, max_attempts, pause_s)
            return held

    def _jobs(self, *conditions: ColumnElement[bool]) -> list[JobRecord]:
        with self._read() as connection:
            rows = connection.execute(select(jobs).where(*conditions).order_by(jobs.c.created_at, jobs.c.job_key))
            return [_record(row) for row in rows]


def _insert(connection: Connection, job: Job, sop_instance_uids: tuple[str, ...], now: float) -> None:
    start = {"state": JobState.QUEUED, "attempts": 0, "rings": 0, "next_enqueue_at": now}
    row = asdict(job) | start | {"sop_instance_uids": sop_instance_uids, "created_at": now, "updated_at": now}
    connection.execute(insert(jobs).values(**row))


def _held_by(connection: Connection, job_key: str, owner: str) -> bool:
    held = and_(jobs.c.job_key == job_key, jobs.c.state == JobState.RUNNING, jobs.c.owner == owner)
    return connection.execute(select(jobs.c.job_key).where(held)).first() is not None


def _put_results(connection: Connection, job_key: str, results: Sequence[Document]) -> None:
    clear_results(connection, job_key)
    for document in results:
        connection.execute(insert(documents).values(job_key=job_key, **asdict(document)))


def _repeat(connection: Connection, job_key: str, now: float) -> None:
    clear_results(connection, job_key)
    change(connection, job_key, JobState.QUEUED, now, attempts=0, enqueue_count=0, next_enqueue_at=now)


def _give_back(
    connection: Connection, job_key: str, reason: str, now: float, max_attempts: int | None, pause_s: float = 0.0
) -> None:
    before = connection.execute(select(jobs.c.attempts).where(jobs.c.job_key == job_key)).scalar_one()
    attempts = before if max_attempts is None else before + 1
    if max_attempts is not None and attempts >= max_attempts:
        change(connection, job_key, JobState.FAILED, now, attempts=attempts, reason=reason)
    else:
        again = {"attempts": attempts, "rings": 0, "next_enqueue_at": now + pause_s}
        change(connection, job_key, JobState.QUEUED, now, reason=reason, **again)


def _supersede_others(connection: Connection, job: Job, now: float) -> None:
    others = select(jobs.c.job_key).where(
        jobs.c.series_uid == job.series_uid, jobs.c.job_key != job.job_key, jobs.c.state != JobState.SUPERSEDED
    )
    for other in connection.execute(others).scalars().all():
        change(connection, other, JobState.SUPERSEDED, now, reason=f"replaced by job {job.job_key}")


def _record(row: Row[tuple[object, ...]]) -> JobRecord:
    return JobRecord(
        job=Job(
            job_key=row.job_key,
            study_uid=row.study_uid,
            series_uid=row.series_uid,
            config_hash=row.config_hash,
            schema_version=row.schema_version,
        ),
        state=JobState(row.state),
        reason=row.reason,
        attempts=row.attempts,
        enqueue_count=row.enqueue_count,
        sop_instance_uids=tuple(row.sop_instance_uids),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
