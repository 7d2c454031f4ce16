"""Removal of all records of series: of a patient who is erased, and of those that are old enough."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from collections.abc import Set as AbstractSet

from sqlalchemy import Connection, and_, delete, or_, select, union

from dicom_node.identifiers import is_uid
from dicom_node.journal.damaged_rows import records
from dicom_node.journal.database import Database
from dicom_node.journal.schema import (
    acquisitions,
    commitment_requests,
    deliveries,
    documents,
    instances,
    job_priors,
    job_searches,
    jobs,
    quarantined,
    results,
    searches,
    selections,
    series,
    transactions,
)

_OF_SERIES = (selections, acquisitions, searches, instances, series)
_OF_JOB = (deliveries, documents, job_priors, job_searches)


class ErasureJournal:
    """Finds the series whose records are removed, and removes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def series_of_jobs(self) -> dict[str, str]:
        """Return the Series Instance UID of every job, by its key."""
        with self._database.read() as connection:
            found = connection.execute(select(jobs.c.job_key, jobs.c.series_uid))
            return {row.job_key: row.series_uid for row in found}

    def expired(self, before: float) -> set[str]:
        """Return the series whose records are old enough to be deleted: nothing of their patients is newer or stored.

        The records of a patient go together: a later scan would be compared again if one of its priors disappeared.
        """
        with self._database.read() as connection:
            recent = or_(jobs.c.files_removed_at.is_(None), jobs.c.updated_at >= before)
            kept = set(connection.execute(select(series.c.series_uid)).scalars())
            kept |= set(connection.execute(select(jobs.c.series_uid).where(recent)).scalars())
            rows = connection.execute(select(acquisitions)).all()
            read = records(connection, acquisitions, rows, lambda row: row)
            readable = {row.series_uid for row in read}
            kept |= {row.series_uid for row in rows if row.series_uid not in readable or row.read_at >= before}
            persons = {row.person_key for row in read if row.person_key and row.series_uid in kept}
            kept |= {row.series_uid for row in read if row.person_key in persons}
            known = union(select(jobs.c.series_uid), *(select(table.c.series_uid) for table in _OF_SERIES))
            return {uid for uid in connection.execute(known).scalars() if is_uid(uid)} - kept

    def series_of_patients(self, patient_keys: Collection[str]) -> set[str]:
        """Return the recorded series of these patients."""
        of_patients = select(acquisitions.c.series_uid).where(acquisitions.c.patient_key.in_(patient_keys))
        with self._database.read() as connection:
            return set(connection.execute(of_patients).scalars())

    def series_beside(self, series_uids: Collection[str]) -> set[str]:
        """Return all recorded series of the studies of these series."""
        tables = (series, jobs, selections, acquisitions, results)
        with self._database.read() as connection:
            rows = [
                row for table in tables for row in connection.execute(select(table.c.series_uid, table.c.study_uid))
            ]
        studies = {row.study_uid for row in rows if row.series_uid in series_uids}
        return {row.series_uid for row in rows if row.study_uid in studies}

    def studies_of(self, series_uids: Collection[str]) -> set[str]:
        """Return the recorded Study Instance UIDs of these series."""
        tables = (series, jobs, selections, acquisitions)
        with self._database.read() as connection:
            found = [select(table.c.study_uid).where(table.c.series_uid.in_(series_uids)) for table in tables]
            return set(connection.execute(union(*found)).scalars())

    def delete(self, series_uids: Collection[str]) -> dict[str, int]:
        """Delete every record of these series and of their jobs, and return the number of rows by table."""
        with self._database.write() as connection:
            of_series = select(instances.c.sop_instance_uid).where(instances.c.series_uid.in_(series_uids))
            of_jobs = select(jobs.c.job_key).where(jobs.c.series_uid.in_(series_uids))
            named = {uid for found in (of_series, of_jobs) for uid in connection.execute(found).scalars()}
            _forget_naming(connection, named.union(series_uids))
            return _delete(connection, sorted(series_uids))

    def delete_closed(self, before: float) -> None:
        """Delete the records of storage commitments, in both roles, that were closed before this time."""
        answered = and_(~commitment_requests.c.open, commitment_requests.c.next_attempt_at < before)
        in_use = select(deliveries.c.transaction_uid).where(deliveries.c.transaction_uid.is_not(None))
        unused = transactions.c.transaction_uid.not_in(in_use)
        with self._database.write() as connection:
            connection.execute(delete(commitment_requests).where(answered))
            connection.execute(delete(transactions).where(~transactions.c.open, transactions.c.due_at < before, unused))


def _forget_naming(connection: Connection, named: AbstractSet[str]) -> None:
    """Delete the storage commitment requests of peers, and the damaged rows, that name one of these UIDs or keys."""
    found = records(connection, commitment_requests, connection.execute(select(commitment_requests)), lambda row: row)
    for row in found:
        if any(uid in named for _, uid in row.named):
            same = commitment_requests.c.transaction_uid == row.transaction_uid
            connection.execute(delete(commitment_requests).where(same, commitment_requests.c.peer == row.peer))
    for key in connection.execute(select(quarantined.c.row_key)).scalars().all():
        if not named.isdisjoint(json.loads(key)):
            connection.execute(delete(quarantined).where(quarantined.c.row_key == key))


def _delete(connection: Connection, series_uids: Sequence[str]) -> dict[str, int]:
    """Delete the rows of series, and those that refer to them first."""
    counts: Counter[str] = Counter()
    for uid in series_uids:
        for key in connection.execute(select(jobs.c.job_key).where(jobs.c.series_uid == uid)).scalars().all():
            for table in _OF_JOB:
                counts[table.name] += connection.execute(delete(table).where(table.c.job_key == key)).rowcount
        of_series = or_(results.c.series_uid == uid, results.c.ct_series_uid == uid)
        counts[results.name] += connection.execute(delete(results).where(of_series)).rowcount
        for table in (jobs, *_OF_SERIES):
            counts[table.name] += connection.execute(delete(table).where(table.c.series_uid == uid)).rowcount
    return dict(counts)
