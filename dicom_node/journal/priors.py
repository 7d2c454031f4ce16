"""Journal records of prior scans: the patient of each series, searches, and the priors of each job.

Patients are recorded by key alone: an HMAC that can be made only with the salt and the patient's own data.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from sqlalchemy import Connection, Row, and_, delete, insert, select, update

from dicom_node.journal.damaged_rows import all_records, records
from dicom_node.journal.database import Database
from dicom_node.journal.patients import (
    all_patients,
    are_one,
    keys_of_patient,
    keys_of_person,
    known_scan,
    results_of_ct,
)
from dicom_node.journal.schema import (
    acquisitions,
    job_priors,
    job_searches,
    results,
    searches,
    series,
)
from dicom_node.prior import NOT_QUERIED, KnownScan, Priors, PriorScan, PriorSearch, Result


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquisitionRecord:
    """The patient and origin of a CT series."""

    series_uid: str
    study_uid: str
    patient_key: str | None
    """None if the header is not sufficient to identify the patient."""
    person_key: str | None
    """The key without the issuer of the patient ID; equal to `patient_key` if the header names none."""
    acquired_on: str | None
    """Date and time of the study, YYYYMMDDHHMMSS."""
    role: str
    """SENT by a peer unrequested, or FETCHED by us."""
    is_complete: bool
    """False while it is being fetched and after fetching failed; it is then not analysed."""
    read_at: float
    """When its header was read; it is read again after newer instances arrive."""


class PriorJournal:
    """Patients by key, their scans by date, and the priors of each job."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_acquisition(self, acquisition: AcquisitionRecord) -> None:
        """Record the acquisition of a series; it replaces a previous record."""
        with self._database.write() as connection:
            connection.execute(delete(acquisitions).where(acquisitions.c.series_uid == acquisition.series_uid))
            connection.execute(insert(acquisitions).values(**asdict(acquisition)))

    def acquisition(self, series_uid: str) -> AcquisitionRecord | None:
        """Return the acquisition of a series; None if it was not recorded yet."""
        with self._database.read() as connection:
            rows = connection.execute(select(acquisitions).where(acquisitions.c.series_uid == series_uid)).all()
            return next(iter(records(connection, acquisitions, rows, _acquisition)), None)

    def mark_complete(self, series_uid: str, *, patient_key: str, person_key: str, acquired_on: str) -> None:
        """Record that a fetched series is complete, with its patient's keys and study date."""
        this = update(acquisitions).where(acquisitions.c.series_uid == series_uid)
        keys = {"patient_key": patient_key, "person_key": person_key}
        with self._database.write() as connection:
            connection.execute(this.values(is_complete=True, acquired_on=acquired_on, **keys))

    def mark_refetching(self, series_uid: str) -> None:
        """Record that a series is being fetched again; it is incomplete meanwhile."""
        self._set_complete(series_uid, is_complete=False)

    def mark_refetched(self, series_uid: str) -> None:
        """Record that fetching a series again has ended."""
        self._set_complete(series_uid, is_complete=True)

    def _set_complete(self, series_uid: str, *, is_complete: bool) -> None:
        this = update(acquisitions).where(acquisitions.c.series_uid == series_uid)
        with self._database.write() as connection:
            connection.execute(this.values(is_complete=is_complete))

    def record_results(self, found: Iterable[Result]) -> None:
        """Record SEG and SR in the inbox; each replaces a previous record."""
        with self._database.write() as connection:
            for result in found:
                same = and_(
                    results.c.sop_instance_uid == result.sop_instance_uid,
                    results.c.ct_series_uid == result.ct_series_uid,
                )
                connection.execute(delete(results).where(same))
                connection.execute(insert(results).values(**asdict(result)))

    def results_of(self, ct_series_uid: str) -> tuple[Result, ...]:
        """Return the fetched SEG and SR of a CT series."""
        with self._database.read() as connection:
            return results_of_ct(connection, ct_series_uid)

    def series_with_results(self, study_uid: str) -> set[str]:
        """Return the CT series of a study that fetched SEG or SR refer to: ours, or readers' if we have none."""
        with self._database.read() as connection:
            of_study = connection.execute(select(results).where(results.c.study_uid == study_uid))
            found = records(connection, results, of_study, lambda row: (row.ct_series_uid, row.is_ours))
        return {uid for uid, is_ours in found if is_ours} or {uid for uid, _ in found}

    def record_search(self, series_uid: str, search: PriorSearch, reason: str | None, now: float) -> None:
        """Record the outcome of the search for the prior scans of a series."""
        with self._database.write() as connection:
            connection.execute(delete(searches).where(searches.c.series_uid == series_uid))
            row = {"series_uid": series_uid, "search": search, "reason": reason, "ended_at": now}
            connection.execute(insert(searches).values(**row))

    def search_of(self, series_uid: str, since: float = 0.0) -> Priors | None:
        """Return the outcome of the search, without scans; None if no search has ended since."""
        this = and_(searches.c.series_uid == series_uid, searches.c.ended_at >= since)
        with self._database.read() as connection:
            found = records(connection, searches, connection.execute(select(searches).where(this)), _search)
            return found[0] if found else None

    def of_job(self, job_key: str) -> Priors:
        """Return the priors of a job; NOT_QUERIED if it was queued without a search. Raises DamagedRecord."""
        with self._database.read() as connection:
            of_job = connection.execute(select(job_searches).where(job_searches.c.job_key == job_key))
            found = all_records(connection, job_searches, of_job, _search)
            in_order = select(job_priors).where(job_priors.c.job_key == job_key).order_by(job_priors.c.position)
            scans = all_records(connection, job_priors, connection.execute(in_order), _prior_scan)
            return replace(found[0], scans=tuple(scans)) if found else NOT_QUERIED

    def was_compared(self, job_key: str) -> bool:
        """Whether a job was queued after a search for priors."""
        of_job = select(job_searches.c.job_key).where(job_searches.c.job_key == job_key)
        with self._database.read() as connection:
            return connection.execute(of_job).first() is not None

    def patients(self) -> list[str]:
        """Return one key of each patient with a recorded scan, that with the issuer if one is known."""
        with self._database.read() as connection:
            return all_patients(connection)

    def keys_of(self, patient_key: str) -> set[str]:
        """Return all keys of a patient."""
        with self._database.read() as connection:
            return keys_of_patient(connection, patient_key)

    def keys_beside(self, patient_key: str) -> set[str]:
        """Return the keys of all patients of this ID, birth date and sex, whatever the issuer."""
        with self._database.read() as connection:
            return keys_of_person(connection, patient_key)[1]

    def has_several_issuers(self, patient_key: str) -> bool:
        """Whether several issuers gave this ID: a scan that does not name its issuer may then be of either patient."""
        with self._database.read() as connection:
            return not are_one(*keys_of_person(connection, patient_key))

    def scans_of(self, patient_key: str) -> list[KnownScan]:
        """Return a patient's scans sorted by date, the oldest first.

        Scans that do not name the issuer of the patient ID are among them, unless several issuers gave this ID.
        """
        recorded = (
            select(acquisitions, series.c.dirty)
            .join_from(acquisitions, series, acquisitions.c.series_uid == series.c.series_uid, isouter=True)
            .order_by(acquisitions.c.acquired_on, acquisitions.c.series_uid)
        )
        with self._database.read() as connection:
            of_patient = recorded.where(acquisitions.c.patient_key.in_(keys_of_patient(connection, patient_key)))
            rows = connection.execute(of_patient).all()
            return records(connection, acquisitions, rows, lambda row: known_scan(connection, row))


def put_priors(connection: Connection, job_key: str, priors: Priors) -> None:
    """Record the priors of a new job."""
    if priors.search is PriorSearch.NOT_QUERIED:
        return
    connection.execute(insert(job_searches).values(job_key=job_key, search=priors.search, reason=priors.reason))
    for position, scan in enumerate(priors.scans):
        row = {"study_uid": scan.study_uid, "series_uid": scan.series_uid, "prior_job_key": scan.job_key}
        lists = {"ct_uids": list(scan.ct_uids), "results": [list(pair) for pair in (*scan.results, *scan.refetched)]}
        connection.execute(insert(job_priors).values(job_key=job_key, position=position, **row, **lists))


def _search(row: Row[tuple[object, ...]]) -> Priors:
    return Priors(search=PriorSearch(row.search), reason=row.reason, scans=())


def _prior_scan(row: Row[tuple[object, ...]]) -> PriorScan:
    return PriorScan(
        study_uid=row.study_uid,
        series_uid=row.series_uid,
        job_key=row.prior_job_key,
        ct_uids=tuple(row.ct_uids),
        results=tuple((series_uid, uid) for series_uid, uid in row.results),
    )


def _acquisition(row: Row[tuple[object, ...]]) -> AcquisitionRecord:
    return AcquisitionRecord(
        series_uid=row.series_uid,
        study_uid=row.study_uid,
        patient_key=row.patient_key,
        person_key=row.person_key,
        acquired_on=row.acquired_on,
        role=row.role,
        is_complete=row.is_complete,
        read_at=row.read_at,
    )
