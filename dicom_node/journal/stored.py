"""Journal records for the retention: what is stored, and what waits for it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Row, Select, and_, exists, false, or_, select, true, update

from dicom_node.identifiers import RESULTS
from dicom_node.jobs import DeliveryState, JobState
from dicom_node.journal.damaged_rows import records
from dicom_node.journal.database import Database
from dicom_node.journal.schema import (
    FETCHED,
    acquisitions,
    deliveries,
    documents,
    instances,
    job_priors,
    jobs,
    series,
)

_PENDING = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSeries:
    """A series of the inbox. last_arrival: UTC, seconds since 1970."""

    series_uid: str
    study_uid: str
    last_arrival: float
    is_dirty: bool
    is_fetched: bool
    is_abandoned: bool
    """A part of it was fetched, and the rest never came."""
    has_images: bool
    is_needed: bool
    """A queued or running job is compared with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredJob:
    """A job with files: its results, or its series. updated_at: UTC, seconds since 1970."""

    job_key: str
    series_uid: str
    study_uid: str
    state: JobState
    updated_at: float
    are_files_removed: bool
    is_owed: bool
    """A peer has not stored or committed its results yet, and has not refused them."""
    is_needed: bool
    """A queued or running job is compared with its results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """All that has files."""

    series: tuple[StoredSeries, ...]
    jobs: tuple[StoredJob, ...]


class StoredJournal:
    """What is stored, for those who remove it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, *, has_destinations: bool, with_backfill: bool) -> Stored:
        """Return all series and jobs that have files, without damaged ones: they stay until they are repaired.

        has_destinations: whether there is a peer that receives results. with_backfill: also those of fetched scans.
        """
        with self._database.read() as connection:
            needed = _needed(connection)
            of_series = connection.execute(_series_rows()).all()
            of_jobs = connection.execute(_job_rows(has_destinations, with_backfill)).all()
            return Stored(
                series=tuple(records(connection, series, of_series, lambda row: _series(row, needed))),
                jobs=tuple(records(connection, jobs, of_jobs, lambda row: _job(row, needed))),
            )

    def mark_files_removed(self, job_key: str, now: float) -> bool:
        """Record that the results of a job are to be deleted from the outbox; False if it is queued again.

        Its documents stay as records.
        """
        this = update(jobs).where(jobs.c.job_key == job_key, jobs.c.state.not_in(_PENDING))
        with self._database.write() as connection:
            return connection.execute(this.values(files_removed_at=now)).rowcount == 1

    def keys_with_files(self) -> set[str]:
        """Return the keys of the jobs whose results were not removed."""
        with self._database.read() as connection:
            return set(connection.execute(select(jobs.c.job_key).where(jobs.c.files_removed_at.is_(None))).scalars())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Needed:
    """The series and jobs that queued and running jobs are compared with."""

    series_uids: frozenset[str]
    job_keys: frozenset[str]


def _needed(connection: Connection) -> _Needed:
    of_pending = select(job_priors).join(jobs, jobs.c.job_key == job_priors.c.job_key).where(jobs.c.state.in_(_PENDING))
    found = records(connection, job_priors, connection.execute(of_pending), lambda row: row)
    fetched = {series_uid for row in found for series_uid, _ in row.results}
    return _Needed(
        series_uids=frozenset({row.series_uid for row in found} | fetched),
        job_keys=frozenset(row.prior_job_key for row in found if row.prior_job_key),
    )


def _series_rows() -> Select[tuple[object, ...]]:
    uid = series.c.series_uid
    acquired, stored = acquisitions.c.series_uid == uid, instances.c.series_uid == uid
    return select(
        series,
        exists().where(acquired, acquisitions.c.role == FETCHED).label("is_fetched"),
        exists().where(acquired, ~acquisitions.c.is_complete).label("is_abandoned"),
        exists().where(stored, instances.c.sop_class_uid.not_in(RESULTS)).label("has_images"),
    )


def _job_rows(has_destinations: bool, with_backfill: bool) -> Select[tuple[object, ...]]:
    of_job = deliveries.c.job_key == jobs.c.job_key
    is_stored = and_(deliveries.c.state == DeliveryState.STORED, deliveries.c.storage_commitment)
    is_open = exists().where(of_job, or_(deliveries.c.state == DeliveryState.PENDING, is_stored))
    is_fetched = exists().where(acquisitions.c.series_uid == jobs.c.series_uid, acquisitions.c.role == FETCHED)
    is_unplanned = and_(exists().where(documents.c.job_key == jobs.c.job_key), ~exists().where(of_job))
    will_be_planned = and_(
        jobs.c.state.in_([JobState.ANALYSED, JobState.DELIVERED, JobState.REJECTED]),
        is_unplanned,
        true() if has_destinations else false(),
        true() if with_backfill else ~is_fetched,
    )
    is_owed = and_(jobs.c.state != JobState.SUPERSEDED, or_(is_open, will_be_planned))
    has_files = or_(jobs.c.files_removed_at.is_(None), jobs.c.series_uid.in_(select(series.c.series_uid)))
    return select(jobs, is_owed.label("is_owed")).where(has_files)


def _series(row: Row[tuple[object, ...]], needed: _Needed) -> StoredSeries:
    return StoredSeries(
        series_uid=row.series_uid,
        study_uid=row.study_uid,
        last_arrival=row.last_arrival,
        is_dirty=row.dirty,
        is_fetched=row.is_fetched,
        is_abandoned=row.is_abandoned,
        has_images=row.has_images,
        is_needed=row.series_uid in needed.series_uids,
    )


def _job(row: Row[tuple[object, ...]], needed: _Needed) -> StoredJob:
    return StoredJob(
        job_key=row.job_key,
        series_uid=row.series_uid,
        study_uid=row.study_uid,
        state=JobState(row.state),
        updated_at=row.updated_at,
        are_files_removed=row.files_removed_at is not None,
        is_owed=row.is_owed,
        is_needed=row.job_key in needed.job_keys,
    )
