"""The journal's tables and transactions, and the only function that changes the state of a job.

SQLite is for one machine with a local disk; several machines share a PostgreSQL. Both allow one writer at a time.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Double,
    Engine,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    select,
    update,
)
from sqlalchemy.exc import InterfaceError, OperationalError

from dicom_node.errors import ForbiddenChange, JournalUnavailable, UnknownJob
from dicom_node.jobs import JobState

metadata = MetaData()


def _uid(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, String(64), primary_key=key, nullable=False)


def _time(name: str, *, nullable: bool = False) -> Column[float]:
    """UTC, seconds since 1970."""
    return Column(name, Double, nullable=nullable)


series = Table(
    "series",
    metadata,
    _uid("series_uid", key=True),
    _uid("study_uid"),
    _time("last_arrival"),
    Column("dirty", Boolean, nullable=False, index=True),
)

instances = Table(
    "instances",
    metadata,
    Column("series_uid", ForeignKey("series.series_uid"), primary_key=True),
    _uid("sop_instance_uid", key=True),
    _uid("sop_class_uid"),
    Column("calling_ae_title", String(16), nullable=False),
    Column("file_sha256", String(64), nullable=False),
    _time("arrived_at"),
    Index("instances_by_uid", "sop_instance_uid"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("job_key", String(64), primary_key=True),
    _uid("study_uid"),
    Column("series_uid", String(64), nullable=False, index=True),
    Column("config_hash", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("sop_instance_uids", JSON, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False),
    Column("owner", Text),
    _time("lease_until", nullable=True),
    Column("enqueue_count", Integer, nullable=False),
    _time("next_enqueue_at"),
    _time("created_at"),
    _time("updated_at"),
)

documents = Table(
    "documents",
    metadata,
    Column("job_key", ForeignKey("jobs.job_key"), primary_key=True),
    _uid("sop_instance_uid", key=True),
    _uid("sop_class_uid"),
    Column("file_name", Text, nullable=False),
)

transactions = Table(
    "transactions",
    metadata,
    _uid("transaction_uid", key=True),
    Column("peer", Text, nullable=False),
    _time("due_at"),
    Column("open", Boolean, nullable=False, index=True),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("job_key", String(64), primary_key=True),
    _uid("sop_instance_uid", key=True),
    Column("peer", Text, primary_key=True),
    Column("storage_commitment", Boolean, nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False),
    _time("next_attempt_at"),
    Column("transaction_uid", ForeignKey("transactions.transaction_uid"), index=True),
    ForeignKeyConstraint(
        ["job_key", "sop_instance_uid"], ["documents.job_key", "documents.sop_instance_uid"], ondelete="CASCADE"
    ),
)

commitment_requests = Table(
    "commitment_requests",
    metadata,
    _uid("transaction_uid", key=True),
    Column("peer", Text, primary_key=True),
    Column("named", JSON, nullable=False),
    Column("attempts", Integer, nullable=False),
    _time("next_attempt_at"),
    Column("open", Boolean, nullable=False, index=True),
)

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


def state_of(connection: Connection, job_key: str) -> JobState | None:
    """Return the state of a job; None if it does not exist."""
    state = connection.execute(select(jobs.c.state).where(jobs.c.job_key == job_key)).scalar_one_or_none()
    return None if state is None else JobState(state)


def change(connection: Connection, job_key: str, state: JobState, now: float, **values: object) -> None:
    """Change the state of a job and other columns; owner, lease and reason are cleared unless given.

    Raises UnknownJob, and ForbiddenChange if ALLOWED does not contain the change.
    """
    current = state_of(connection, job_key)
    if current is None:
        raise UnknownJob(f"no job {job_key}")
    if state not in ALLOWED[current]:
        raise ForbiddenChange(f"job {job_key} is {current}, it cannot become {state}")
    columns: dict[str, object] = {"owner": None, "lease_until": None, "reason": None} | values
    connection.execute(update(jobs).where(jobs.c.job_key == job_key).values(state=state, updated_at=now, **columns))


class Database:
    """Thread-safe connections to one journal. Each method may raise JournalUnavailable."""

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        self._writing_engine = self._engine.execution_options(writes=True)
        # Threads of one process wait here: SQLite itself waits by polling, which is not fair.
        self._write_lock = threading.Lock()
        with self._write() as connection:
            metadata.create_all(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with _translate_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """Open a write transaction; no other writer, of any process, runs at the same time."""
        with _translate_errors(), self._write_lock, self._writing_engine.begin() as connection:
            yield connection


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (OperationalError, InterfaceError) as error:
        raise JournalUnavailable(f"the journal's database does not respond: {error.orig}") from error


def _engine(url: str) -> Engine:
    # Error messages are logged, so the parameters of statements are hidden.
    engine = create_engine(url, hide_parameters=True, max_overflow=-1, pool_pre_ping=True)
    if engine.dialect.name == "sqlite":
        Path(str(engine.url.database)).parent.mkdir(parents=True, exist_ok=True)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "begin", _begin_postgresql)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # _begin_sqlite sends BEGIN, not the driver
    connection.execute("PRAGMA busy_timeout = 30000")
    connection.execute("PRAGMA journal_mode = WAL")
    # Commits survive a power failure: the sender has received success for its image.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and then writes fails with SQLITE_BUSY if another one wrote in between.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    if _writes(connection):  # same guarantee as SQLite's; the number identifies the journal
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(5217420)")


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get("writes", False))
