"""The jobs of the journal, as `lungspread jobs` lists and `lungspread retry` requeues them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from dicom_node.errors import UnknownJob
from dicom_node.journal.deliveries import DeliveryJournal
from dicom_node.journal.jobs import JobRecord
from dicom_node.journal.journal import Journal
from dicom_node.series import Series
from worker.settings import Settings

Row = dict[str, str | int | None]


def list_jobs(settings: Settings) -> list[Row]:
    """Return one row per job, oldest first, then one per series without a job (state RECEIVED)."""
    with _journal(settings) as journal:
        without_job = journal.series.quiet(before=float("inf"))
        rows = [_job_row(record, journal.deliveries) for record in journal.jobs.find()]
    return [*rows, *(_series_row(series) for series in without_job)]


def retry_job(settings: Settings, key_prefix: str) -> str:
    """Queue the job whose key begins with this prefix and return its key. Raises UnknownJob unless one matches."""
    with _journal(settings) as journal:
        keys = [record.job.job_key for record in journal.jobs.find() if record.job.job_key.startswith(key_prefix)]
        if len(keys) != 1:
            raise UnknownJob(f"{len(keys)} jobs begin with {key_prefix}, one is needed")
        journal.jobs.retry(keys[0], time.time())
    return keys[0]


def _journal(settings: Settings) -> Journal:
    return Journal(settings.journal.url_in(settings.node.data_dir))


def _job_row(record: JobRecord, deliveries: DeliveryJournal) -> Row:
    failed = [delivery for delivery in deliveries.of_job(record.job.job_key) if delivery.reason]
    return {
        "job_key": record.job.job_key,
        "study_uid": record.job.study_uid,
        "series_uid": record.job.series_uid,
        "instances": len(record.sop_instance_uids),
        "state": record.state.value,
        "reason": record.reason or (f"{failed[0].peer}: {failed[0].reason}" if failed else None),
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
