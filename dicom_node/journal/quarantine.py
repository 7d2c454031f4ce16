"""Damaged rows and their repair (a row is removed, and the node makes it again), and the state of the database."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, Connection, String, and_, cast, delete, func, select, text, update

from dicom_node.jobs import DeliveryState, JobState
from dicom_node.journal.damaged_rows import fault_of, records
from dicom_node.journal.database import Database
from dicom_node.journal.deliveries import clear_results
from dicom_node.journal.schema import (
    FETCHED,
    SENT,
    acquisitions,
    deliveries,
    instances,
    job_priors,
    job_searches,
    jobs,
    metadata,
    quarantined,
    series,
    transactions,
)
from dicom_node.journal.upgrade import REVISION


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedRow:
    """A damaged row. key: the values of its primary key. found_at: UTC, seconds since 1970."""

    table: str
    key: tuple[str, ...]
    reason: str
    found_at: float


class QuarantineJournal:
    """The damaged rows that were found so far."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> list[QuarantinedRow]:
        """Return the damaged rows, the oldest finding first."""
        with self._database.read() as connection:
            rows = connection.execute(select(quarantined).order_by(quarantined.c.found_at, quarantined.c.row_key))
            return records(
                connection,
                quarantined,
                rows,
                lambda row: QuarantinedRow(
                    table=row.table_name, key=tuple(json.loads(row.row_key)), reason=row.reason, found_at=row.found_at
                ),
            )

    def repair(self) -> int:
        """Remove all damaged rows, so that the node makes them again from what it has, and return their number.

        A job is queued again under the same key, so that its results keep their UIDs. The rows of a received series
        are made from its files when the node starts.
        """
        repaired = self.all()
        with self._database.write() as connection:
            for row in repaired:
                _repair(connection, row)
            connection.execute(delete(quarantined))
        self._database.forget_quarantine()
        return len(repaired)


def _repair(connection: Connection, row: QuarantinedRow) -> None:
    """Remove one row, unless it was mended or removed since it was found."""
    table = metadata.tables[row.table]
    this = and_(*(_text_of(column) == value for column, value in zip(table.primary_key.columns, row.key, strict=True)))
    for found in connection.execute(select(table).where(this)).all():
        if fault_of(table, found) is None and table is not series:  # of a series, a row of an instance is damaged
            continue
        if table.name in _REPAIRS:
            _REPAIRS[table.name](connection, row.key, this)
        else:  # what it says is asked for, found or sent again
            connection.execute(delete(table).where(this))


def _text_of(column: Column[str]) -> ColumnElement[str]:
    """Return a column of a primary key as text: the position of a prior is a number."""
    return cast(column, String)


def _make_job_again(connection: Connection, key: tuple[str, ...], _: ColumnElement[bool]) -> None:
    of_job = jobs.c.job_key == key[0]
    series_uids = select(jobs.c.series_uid).where(of_job)
    connection.execute(update(series).where(series.c.series_uid.in_(series_uids)).values(dirty=True))
    clear_results(connection, key[0])
    for table in (job_priors, job_searches, jobs):
        connection.execute(delete(table).where(table.c.job_key == key[0]))


def _record_series_again(connection: Connection, key: tuple[str, ...], _: ColumnElement[bool]) -> None:
    """Remove all rows of a series, so that it is not analysed without the instance whose row was damaged."""
    connection.execute(delete(instances).where(instances.c.series_uid == key[0]))
    connection.execute(delete(series).where(series.c.series_uid == key[0]))


def _read_acquisition_again(connection: Connection, _: tuple[str, ...], this: ColumnElement[bool]) -> None:
    """Have the header read again; of a scan that we fetched no results are delivered, and that is kept."""
    role = connection.execute(select(acquisitions.c.role).where(this)).scalar()
    known = {"role": FETCHED if role == FETCHED else SENT, "is_complete": True, "read_at": 0.0}
    unknown = dict.fromkeys(("patient_key", "person_key", "acquired_on"))
    of_series = select(series.c.study_uid).where(series.c.series_uid == acquisitions.c.series_uid).scalar_subquery()
    connection.execute(update(acquisitions).where(this).values(**known, **unknown, study_uid=of_series))


def _request_again(connection: Connection, key: tuple[str, ...], this: ColumnElement[bool]) -> None:
    of_transaction = deliveries.c.transaction_uid == key[0]
    connection.execute(update(deliveries).where(of_transaction).values(transaction_uid=None))
    connection.execute(delete(transactions).where(this))


_REPAIRS: dict[str, Callable[[Connection, tuple[str, ...], ColumnElement[bool]], None]] = {
    **dict.fromkeys(("jobs", "documents", "job_priors", "job_searches"), _make_job_again),
    **dict.fromkeys(("series", "instances"), _record_series_again),
    "acquisitions": _read_acquisition_again,
    "transactions": _request_again,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """problems: what the database finds wrong in its file, one line each. The others are numbers."""

    revision: str
    size_mb: float
    problems: tuple[str, ...]
    jobs: int
    failed: int
    rejected: int
    refused: int
    """Documents that a peer refused for good."""
    damaged_rows: int


def health(database: Database) -> Health:
    """Examine the database; SQLite reads its whole file. Raises JournalUnavailable."""
    is_sqlite = database.dialect == "sqlite"
    size = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    with database.read() as connection:
        in_bytes = text(size if is_sqlite else "SELECT pg_database_size(current_database())")
        checked = connection.execute(text("PRAGMA quick_check")).scalars().all() if is_sqlite else ["ok"]
        counted = connection.execute(select(jobs.c.state, func.count().label("jobs")).group_by(jobs.c.state))
        by_state = {row.state: row.jobs for row in counted}
        refused = select(func.count()).where(deliveries.c.state == DeliveryState.REFUSED)
        return Health(
            revision=REVISION,
            size_mb=connection.execute(in_bytes).scalar_one() / 2**20,
            problems=() if list(checked) == ["ok"] else tuple(map(str, checked)),
            jobs=sum(by_state.values()),
            failed=by_state.get(JobState.FAILED, 0),
            rejected=by_state.get(JobState.REJECTED, 0),
            refused=connection.execute(refused).scalar_one(),
            damaged_rows=connection.execute(select(func.count()).select_from(quarantined)).scalar_one(),
        )
