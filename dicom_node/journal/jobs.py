"""Journal records of jobs, which the node creates and queues; `leases.py` has the part of a worker."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, Row, and_, insert, or_, select, update

from dicom_node.errors import DamagedRecord, ForbiddenChange, InstancesRemoved, UnknownJob
from dicom_node.jobs import Job, JobState, Priority, job_key
from dicom_node.journal.damaged_rows import records
from dicom_node.journal.database import Database
from dicom_node.journal.deliveries import clear_results
from dicom_node.journal.job_states import change, state_in, state_of
from dicom_node.journal.leases import requeue_or_fail
from dicom_node.journal.priors import put_priors
from dicom_node.journal.schema import documents, jobs, series
from dicom_node.journal.series import data_sets_of, stored_among
from dicom_node.prior import NOT_QUERIED, Priors, key_parts
from dicom_node.series import Series, images_sha256

_REPORT = "sr.dcm"
"""The worker's name of a report of findings; that of a rejection has another one."""
_QUEUED_AGAIN = (JobState.REJECTED, JobState.FAILED, JobState.SUPERSEDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job with its state, as recorded in the journal."""

    job: Job
    state: JobState
    reason: str | None
    attempts: int
    """How many times it failed or lost its worker."""
    enqueue_count: int
    """How many times its message was sent since it was last queued."""
    sop_instance_uids: tuple[str, ...]
    images_sha256: str
    """`series.images_sha256` of these instances; empty if the job is older than this record."""
    replaces: str | None
    """Key of the job of the same series whose report this one's takes the place of, when it was first queued."""
    priority: Priority
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningJob:
    """A job that a worker has. lease_until: changes with every renewal."""

    job_key: str
    owner: str
    lease_until: float


class JobJournal:
    """Jobs and their states, for the node."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        found: Series,
        config_hash: str,
        now: float,
        priors: Priors = NOT_QUERIED,
        instead_of: Sequence[str] = (),
        priority: Priority = Priority.ROUTINE,
    ) -> Job | None:
        """Queue the job of a quiet series and supersede its previous jobs; None if no job was queued.

        instead_of: UIDs of the other series of the study; their jobs are superseded, too, unless they were rejected.

        No job is queued if anything has arrived since, or if the same job exists. A job that was rejected, failed or
        superseded is queued again: its files may have been repaired, or the first version of its images sent again.
        """
        key = job_key(found.images_sha256, config_hash, key_parts(priors))
        job = Job(job_key=key, study_uid=found.study_uid, series_uid=found.series_uid, config_hash=config_hash)
        with self._database.write() as connection:
            known = connection.execute(select(jobs).where(jobs.c.job_key == key)).all()
            if known and not records(connection, jobs, known, _record):
                return None  # damaged: the series waits until the row is repaired
            state = JobState(known[0].state) if known else None
            # While the job runs its outcome is open: the series stays dirty and is checked again later.
            stored = images_sha256(found.series_uid, data_sets_of(connection, found.series_uid))
            if state is JobState.RUNNING or stored != found.images_sha256:
                return None
            of_series = series.c.series_uid == found.series_uid
            connection.execute(update(series).where(of_series).values(dirty=False))
            if state is None:
                _insert(connection, job, found, priority, now)
                put_priors(connection, key, priors)
            elif state in _QUEUED_AGAIN:
                _queue_again(connection, key, now)
            else:
                return None
            _supersede_others(connection, job, instead_of, now)
            return job

    def reopen_outdated(self, config_hash: str) -> int:
        """Mark series dirty whose queued job has another config hash, and return their number."""
        outdated = select(jobs.c.series_uid).where(jobs.c.state == JobState.QUEUED, jobs.c.config_hash != config_hash)
        with self._database.write() as connection:
            reopen = update(series).where(series.c.series_uid.in_(outdated), ~series.c.dirty).values(dirty=True)
            return connection.execute(reopen).rowcount

    def get(self, job_key: str) -> JobRecord:
        """Return a job. Raises UnknownJob if it does not exist, DamagedRecord if its row cannot be read."""
        found = self._jobs(jobs.c.job_key == job_key)
        if not found:
            self._require_row(job_key)
            raise DamagedRecord(
                f"job {job_key}: its row in the journal is damaged; `lungspread repair` has it made again"
            )
        return found[0]

    def _require_row(self, job_key: str) -> None:
        with self._database.read() as connection:
            if state_in(connection, job_key) is None:
                raise UnknownJob(f"no job {job_key}")

    def find(self, states: Collection[JobState] = tuple(JobState)) -> list[JobRecord]:
        """Return all jobs in these states, the oldest first."""
        return self._jobs(jobs.c.state.in_(states))

    def due_for_enqueue(self, now: float, held: Collection[Priority] = ()) -> list[JobRecord]:
        """Return the queued jobs whose message is to be sent now, without those of held priorities."""
        is_due = and_(jobs.c.state == JobState.QUEUED, jobs.c.next_enqueue_at <= now)
        return self._jobs(is_due, jobs.c.priority.not_in(held))

    def prioritise(self, job_key: str, priority: Priority) -> None:
        """Change how urgent a job is. Raises UnknownJob."""
        this = update(jobs).where(jobs.c.job_key == job_key)
        with self._database.write() as connection:
            if connection.execute(this.values(priority=priority)).rowcount == 0:
                raise UnknownJob(f"no job {job_key}")

    def mark_enqueued(self, job_key: str, next_enqueue_at: float) -> None:
        """Record that the message of a job was sent, and when to send it again."""
        statement = update(jobs).where(jobs.c.job_key == job_key)
        with self._database.write() as connection:
            connection.execute(
                statement.values(enqueue_count=jobs.c.enqueue_count + 1, next_enqueue_at=next_enqueue_at)
            )

    def running(self) -> list[RunningJob]:
        """Return the running jobs with their leases."""
        columns = select(*jobs.c["job_key", "owner", "lease_until"]).where(jobs.c.state == JobState.RUNNING)
        with self._database.read() as connection:
            return records(connection, jobs, connection.execute(columns).all(), _running)

    def requeue(self, job: RunningJob, now: float, max_attempts: int) -> JobState:
        """Queue a job again, or fail it after its last attempt, unless its lease was renewed; return its state."""
        of_job = jobs.c.job_key == job.job_key
        unchanged = and_(of_job, jobs.c.owner == job.owner, jobs.c.lease_until == job.lease_until)
        with self._database.write() as connection:
            if connection.execute(select(jobs.c.job_key).where(unchanged)).first():
                requeue_or_fail(connection, job.job_key, "its worker ended without a result", now, max_attempts)
            return JobState(connection.execute(select(jobs.c.state).where(of_job)).scalar_one())

    def retry(self, job_key: str, now: float) -> None:
        """Queue a finished job again.

        Raises UnknownJob; ForbiddenChange if it is queued or running; InstancesRemoved if its series was deleted.
        """
        uids = set(self.get(job_key).sop_instance_uids)
        with self._database.write() as connection:
            if missing := uids - stored_among(connection, uids):
                raise InstancesRemoved(f"job {job_key}: {len(missing)} of {len(uids)} instances are no longer stored")
            if (state := state_of(connection, job_key)) in (JobState.QUEUED, JobState.RUNNING):
                raise ForbiddenChange(f"job {job_key} is {state} already")
            _queue_again(connection, job_key, now)

    def _jobs(self, *conditions: ColumnElement[bool]) -> list[JobRecord]:
        with self._database.read() as connection:
            rows = connection.execute(select(jobs).where(*conditions).order_by(jobs.c.created_at, jobs.c.job_key))
            return records(connection, jobs, rows, _record)


def _running(row: Row[tuple[object, ...]]) -> RunningJob:
    return RunningJob(job_key=row.job_key, owner=row.owner, lease_until=row.lease_until)


def _insert(connection: Connection, job: Job, found: Series, priority: Priority, now: float) -> None:
    start = {"priority": priority, "state": JobState.QUEUED, "attempts": 0, "enqueue_count": 0, "next_enqueue_at": now}
    images = {"sop_instance_uids": found.sop_instance_uids, "images_sha256": found.images_sha256}
    history = {"replaces": _replaced(connection, found.series_uid), "created_at": now, "updated_at": now}
    connection.execute(insert(jobs).values(**asdict(job) | start | images | history))


def _replaced(connection: Connection, series_uid: str) -> str | None:
    """Return the key of the last job of a series that has a report."""
    reported = select(jobs.c.job_key).join(documents).where(jobs.c.series_uid == series_uid)
    reported = reported.where(documents.c.file_name == _REPORT)
    return connection.execute(reported.order_by(jobs.c.created_at.desc(), jobs.c.job_key)).scalar()


def _queue_again(connection: Connection, job_key: str, now: float) -> None:
    clear_results(connection, job_key)
    again = {"attempts": 0, "enqueue_count": 0, "next_enqueue_at": now, "files_removed_at": None}
    change(connection, job_key, JobState.QUEUED, now, **again)


def _supersede_others(connection: Connection, job: Job, instead_of: Sequence[str], now: float) -> None:
    of_series = and_(jobs.c.series_uid == job.series_uid, jobs.c.state != JobState.SUPERSEDED)
    finished = (JobState.SUPERSEDED, JobState.REJECTED)
    of_study = and_(jobs.c.series_uid.in_(instead_of), jobs.c.state.not_in(finished))
    is_another = and_(jobs.c.job_key != job.job_key, jobs.c.state.in_(list(JobState)))
    others = select(jobs.c.job_key).where(is_another, or_(of_series, of_study))
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
        images_sha256=row.images_sha256,
        replaces=row.replaces,
        priority=Priority(row.priority),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
