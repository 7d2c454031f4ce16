"""`lungspread jobs` and `replay`: what the journal says, for people and for scripts. Changes nothing by itself."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from dicom_node.errors import UnknownJob
from dicom_node.journal.journal import JobRecord, Journal
from dicom_node.series import Series
from worker.settings import Settings

Row = dict[str, str | int | None]


def list_jobs(settings: Settings) -> list[Row]:
    """Return a row for each job, the oldest first, and one for each series that has no job yet (RECEIVED)."""
    journal = _journal(settings)
    waiting = journal.quiet_series(before=float("inf"))
    rows = [_job_row(journal, record) for record in journal.jobs()]
    journal.close()
    return [*rows, *(_series_row(series) for series in waiting)]


def retry_job(settings: Settings, first_digits: str) -> str:
    """Queue the one job whose key begins so, and return its key. Raises UnknownJob when it is none, or several."""
    journal = _journal(settings)
    keys = [record.job.job_key for record in journal.jobs() if record.job.job_key.startswith(first_digits)]
    if len(keys) != 1:
        raise UnknownJob(f"{len(keys)} jobs begin with {first_digits}, one is needed")
    journal.retry(keys[0], time.time())
    journal.close()
    return keys[0]


def _journal(settings: Settings) -> Journal:
    return Journal(settings.journal.url_in(settings.node.data_dir))


def _job_row(journal: Journal, record: JobRecord) -> Row:
    waiting = [d for d in journal.deliveries_of(record.job.job_key) if d.reason]
    return {
        "job_key": record.job.job_key,
        "study_uid": record.job.study_uid,
        "series_uid": record.job.series_uid,
        "instances": len(record.sop_instance_uids),
        "state": record.state.value,
        "reason": record.reason or (f"{waiting[0].peer}: {waiting[0].reason}" if waiting else None),
        "attempts": record.attempts,
        "updated_at": datetime.fromtimestamp(record.updated_at, UTC).isoformat(timespec="seconds"),
    }


def _series_row(series: Series) -> Row:
    return {
        "job_key": None,
        "study_uid": series.study_uid,
        "series_uid": series.series_uid,
        "instances": len(series.sop_instance_uids),
        "state": "RECEIVED",
        "reason": None,
        "attempts": 0,
        "updated_at": None,
    }
