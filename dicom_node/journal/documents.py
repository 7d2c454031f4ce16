"""Journal records of result documents, for those who look for results."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Row, select

from dicom_node.journal.damaged_rows import records
from dicom_node.journal.database import Database
from dicom_node.journal.job_states import WITHOUT_RESULTS
from dicom_node.journal.schema import documents, jobs


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRecord:
    """A result document in the outbox."""

    job_key: str
    sop_instance_uid: str
    file_name: str


class DocumentJournal:
    """The result documents of all jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, study_uid: str = "", sop_instance_uid: str = "") -> list[DocumentRecord]:
        """Return the documents, the oldest job first, without those that another job has replaced."""
        wanted = select(documents).join(jobs)
        wanted = wanted.where(jobs.c.state.not_in(WITHOUT_RESULTS), jobs.c.files_removed_at.is_(None))
        if study_uid:
            wanted = wanted.where(jobs.c.study_uid == study_uid)
        if sop_instance_uid:
            wanted = wanted.where(documents.c.sop_instance_uid == sop_instance_uid)
        with self._database.read() as connection:
            rows = connection.execute(wanted.order_by(jobs.c.created_at, documents.c.job_key, documents.c.file_name))
            return records(connection, documents, rows, _document)


def _document(row: Row[tuple[object, ...]]) -> DocumentRecord:
    return DocumentRecord(job_key=row.job_key, sop_instance_uid=row.sop_instance_uid, file_name=row.file_name)
