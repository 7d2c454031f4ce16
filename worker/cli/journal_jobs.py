"""The jobs of the journal, as `lungspread jobs` lists and `lungspread retry` requeues them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from dicom_node.errors import UnknownJob, UnknownSeries
from dicom_node.jobs import Priority
from dicom_node.journal.deliveries import DeliveryJournal
from dicom_node.journal.jobs import JobRecord
from dicom_node.journal.journal import Journal
from dicom_node.journal.quarantine import QuarantinedRow
from dicom_node.journal.selections import SelectionRecord
from dicom_node.series import Series
from worker.settings import Settings

Row = dict[str, str | int | None]


def list_jobs(settings: Settings) -> list[Row]:
    """Return one row per job, oldest first, then one per series without a job.

    Such a series is RECEIVED if it waits, SET_ASIDE if another one of its study was chosen. Last come the damaged rows.
    """
    with _journal(settings) as journal:
        scored = {record.series_uid: record for record in journal.selections.all()}
        waiting = journal.series.quiet(before=float("inf"))
        rows = [_job_row(record, journal.deliveries, scored) for record in journal.jobs.find()]
        damaged = [_damaged_row(row) for row in journal.quarantine.all()]
    rows += [_series_row(series, scored) for series in waiting]
    listed = {row["series_uid"] for row in rows}
    set_aside = [_set_aside_row(record) for record in scored.values() if record.series_uid not in listed]
    return [*rows, *set_aside, *damaged]


def damaged_rows(settings: Settings) -> list[QuarantinedRow]:
    """Return the damaged rows of the journal, after reading what can be read."""
    list_jobs(settings)
    with _journal(settings) as journal:
        return journal.quarantine.all()


def repair_rows(settings: Settings) -> int:
    """Remove the damaged rows of the journal, so that they are made again, and return their number."""
    with _journal(settings) as journal:
        return journal.quarantine.repair()


def retry_job(settings: Settings, key_prefix: str) -> str:
    """Queue the job whose key begins with this prefix and return its key. Raises UnknownJob unless one matches."""
    with _journal(settings) as journal:
        key = _key(journal, key_prefix)
        journal.jobs.retry(key, time.time())
    return key


def prioritise_job(settings: Settings, key_prefix: str, priority: Priority) -> str:
    """Change how urgent the job is whose key begins with this prefix, and return its key. Raises UnknownJob."""
    with _journal(settings) as journal:
        key = _key(journal, key_prefix)
        journal.jobs.prioritise(key, priority)
    return key


def retry_series(settings: Settings, series_uid: str) -> None:
    """Have a series analysed whatever the selection says. Raises UnknownSeries if it is not stored."""
    with _journal(settings) as journal:
        if not journal.selections.force(series_uid):
            raise UnknownSeries(f"series {series_uid}: not stored")


def _key(journal: Journal, prefix: str) -> str:
    keys = [record.job.job_key for record in journal.jobs.find() if record.job.job_key.startswith(prefix)]
    if len(keys) != 1:
        raise UnknownJob(f"{len(keys)} jobs begin with {prefix}, one is needed")
    return keys[0]


def _journal(settings: Settings) -> Journal:
    return Journal(settings.journal.url_in(settings.node.data_dir))


def _job_row(record: JobRecord, deliveries: DeliveryJournal, scored: dict[str, SelectionRecord]) -> Row:
    failed = [delivery for delivery in deliveries.of_job(record.job.job_key) if delivery.reason]
    return {
        "job_key": record.job.job_key,
        "study_uid": record.job.study_uid,
        "series_uid": record.job.series_uid,
        "instances": len(record.sop_instance_uids),
        "state": record.state.value,
        "priority": record.priority.name.lower(),
        "reason": record.reason or (f"{failed[0].peer}: {failed[0].reason}" if failed else None),
        "selection": _selection(scored.get(record.job.series_uid)),
        "attempts": record.attempts,
        "updated_at": datetime.fromtimestamp(record.updated_at, UTC).isoformat(timespec="seconds"),
    }


def _series_row(series: Series, scored: dict[str, SelectionRecord]) -> Row:
    return {
        "job_key": None,
        "study_uid": series.study_uid,
        "series_uid": series.series_uid,
        "instances": len(series.sop_instance_uids),
        "state": "RECEIVED",
        "priority": None,
        "reason": None,
        "selection": _selection(scored.get(series.series_uid)),
        "attempts": 0,
        "updated_at": None,
    }


def _set_aside_row(record: SelectionRecord) -> Row:
    return {
        "job_key": None,
        "study_uid": record.study_uid,
        "series_uid": record.series_uid,
        "instances": record.slices,
        "state": "SET_ASIDE",
        "priority": None,
        "reason": "another series of the study was chosen",
        "selection": _selection(record),
        "attempts": 0,
        "updated_at": None,
    }


def _damaged_row(row: QuarantinedRow) -> Row:
    """Return a damaged row, as a job if it is the row of one."""
    return {
        "job_key": row.key[0] if row.table == "jobs" else None,
        "study_uid": None,
        "series_uid": row.key[0] if row.table in ("series", "instances", "selections", "acquisitions") else None,
        "instances": 0,
        "state": "DAMAGED",
        "priority": None,
        "reason": f"a row of {row.table}: {row.reason}; see `lungspread repair`",
        "selection": None,
        "attempts": 0,
        "updated_at": datetime.fromtimestamp(row.found_at, UTC).isoformat(timespec="seconds"),
    }


def _selection(record: SelectionRecord | None) -> str | None:
    """Return the score of a series in one line; None if series are not selected, or it was not looked at yet."""
    if record is None or not record.score.reasons:
        return None
    points = record.score.points
    score = "does not suit" if points is None else f"{points} points"
    by_hand = "chosen by hand; " if record.is_forced else ""
    return f"{by_hand}{score}: {'; '.join(record.score.reasons)}"
