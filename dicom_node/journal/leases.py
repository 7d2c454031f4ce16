"""Journal records of the jobs that workers run: claimed with a lease, and finished while it lasts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict

from sqlalchemy import Connection, and_, insert, or_, select, update

from dicom_node.jobs import JobState, Priority
from dicom_node.journal.damaged_rows import records
from dicom_node.journal.database import Database
from dicom_node.journal.deliveries import clear_results
from dicom_node.journal.job_states import change, state_of
from dicom_node.journal.schema import documents, jobs
from dicom_node.journal.selections import reopen_others
from dicom_node.series import Document


class LeaseJournal:
    """Jobs and their states, for a worker."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, job_key: str, owner: str, lease_until: float, now: float) -> bool:
        """Claim a queued job for one worker; False if it is not queued (any more)."""
        with self._database.write() as connection:
            if state_of(connection, job_key) is not JobState.QUEUED:
                return False
            change(connection, job_key, JobState.RUNNING, now, owner=owner, lease_until=lease_until)
            return True

    def claim_most_urgent(
        self, job_key: str, owner: str, lease_until: float, now: float, held: Collection[Priority] = ()
    ) -> str | None:
        """Claim the most urgent job that is ready, the oldest of equals, and return its key; None if none is.

        job_key: the job whose message woke the worker. It is ready, and so are those whose message waits in the queue:
        one job is run for each message, whichever comes first. Jobs of held priorities are not.
        """
        has_message = or_(jobs.c.job_key == job_key, jobs.c.enqueue_count > 0)
        ready = select(jobs.c.job_key).where(jobs.c.state == JobState.QUEUED, has_message, jobs.c.priority.not_in(held))
        in_order = ready.order_by(jobs.c.priority, jobs.c.created_at, jobs.c.job_key)
        with self._database.write() as connection:
            for key in connection.execute(in_order).scalars().all():
                row = connection.execute(select(jobs).where(jobs.c.job_key == key))
                if records(connection, jobs, row, lambda row: row.job_key):  # a damaged one is passed over
                    change(connection, key, JobState.RUNNING, now, owner=owner, lease_until=lease_until)
                    return str(key)
        return None

    def renew(self, job_key: str, owner: str, lease_until: float) -> bool:
        """Extend the lease; False if it was lost."""
        with self._database.write() as connection:
            is_owner = _is_owner(connection, job_key, owner)
            if is_owner:
                connection.execute(update(jobs).where(jobs.c.job_key == job_key).values(lease_until=lease_until))
            return is_owner

    def mark_analysed(self, job_key: str, owner: str, results: Sequence[Document], now: float) -> bool:
        """Record the documents in the outbox; False, with nothing recorded, if the lease was lost."""
        with self._database.write() as connection:
            if not _is_owner(connection, job_key, owner):
                return False
            _put_results(connection, job_key, results)
            change(connection, job_key, JobState.ANALYSED, now)
            return True

    def mark_rejected(
        self, job_key: str, owner: str, reason: str, now: float, results: Sequence[Document] = ()
    ) -> bool:
        """Record that the series cannot be analysed; False if the lease was lost.

        A report of the rejection, if any, is delivered; the job stays REJECTED.
        """
        with self._database.write() as connection:
            is_owner = _is_owner(connection, job_key, owner)
            if is_owner:
                _put_results(connection, job_key, results)
                change(connection, job_key, JobState.REJECTED, now, reason=reason)
                reopen_others(connection, _series_uid(connection, job_key))
            return is_owner

    def put_back(self, job_key: str, owner: str, reason: str, cut_lungs_ml: float, now: float) -> bool:
        """Record that the lungs of the series are cut, so that another one of its study is tried first.

        Return False if the lease was lost.
        """
        with self._database.write() as connection:
            is_owner = _is_owner(connection, job_key, owner)
            if is_owner:
                change(connection, job_key, JobState.SUPERSEDED, now, reason=reason)
                reopen_others(connection, _series_uid(connection, job_key), cut_lungs_ml)
            return is_owner

    def release(
        self, job_key: str, owner: str, reason: str, now: float, max_attempts: int | None, pause_s: float = 0.0
    ) -> bool:
        """Return a job to the queue after a failure, or fail it after its last attempt.

        Without `max_attempts` the attempt is not counted. Return False if the lease was lost.
        """
        with self._database.write() as connection:
            is_owner = _is_owner(connection, job_key, owner)
            if is_owner:
                requeue_or_fail(connection, job_key, reason, now, max_attempts, pause_s)
            return is_owner


def requeue_or_fail(
    connection: Connection, job_key: str, reason: str, now: float, max_attempts: int | None, pause_s: float = 0.0
) -> None:
    """Queue a job again, or fail it after its last attempt; without `max_attempts` the attempt is not counted."""
    before = connection.execute(select(jobs.c.attempts).where(jobs.c.job_key == job_key)).scalar_one()
    attempts = before if max_attempts is None else before + 1
    if max_attempts is not None and attempts >= max_attempts:
        change(connection, job_key, JobState.FAILED, now, attempts=attempts, reason=reason)
    else:
        again = {"attempts": attempts, "enqueue_count": 0, "next_enqueue_at": now + pause_s}
        change(connection, job_key, JobState.QUEUED, now, reason=reason, **again)


def _is_owner(connection: Connection, job_key: str, owner: str) -> bool:
    owned = and_(jobs.c.job_key == job_key, jobs.c.state == JobState.RUNNING, jobs.c.owner == owner)
    return connection.execute(select(jobs.c.job_key).where(owned)).first() is not None


def _series_uid(connection: Connection, job_key: str) -> str:
    return str(connection.execute(select(jobs.c.series_uid).where(jobs.c.job_key == job_key)).scalar_one())


def _put_results(connection: Connection, job_key: str, results: Sequence[Document]) -> None:
    clear_results(connection, job_key)
    for document in results:
        connection.execute(insert(documents).values(job_key=job_key, **asdict(document)))
