"""Which keys are of one patient, and what the journal knows of his scans: jobs, files and fetched results.

A scan that does not name the issuer of the patient ID contradicts none that does.

A patient's key includes the issuer. The person's key leaves it out, and is also the key of scans that name none. If
several issuers gave one ID, those scans may be of either patient, so that each key is a patient of its own.
"""

from __future__ import annotations

from sqlalchemy import Connection, Row, and_, select

from dicom_node.errors import DamagedRecord
from dicom_node.jobs import JobState
from dicom_node.journal.column_rules import is_key
from dicom_node.journal.damaged_rows import all_records, records
from dicom_node.journal.schema import SENT, acquisitions, documents, jobs, results
from dicom_node.journal.series import stored_uids
from dicom_node.prior import KnownJob, KnownScan, Result


def all_patients(connection: Connection) -> list[str]:
    """Return one key of each patient, sorted: that with the issuer if a scan names one."""
    known = select(acquisitions.c.person_key, acquisitions.c.patient_key).distinct()
    of_person: dict[str, set[str]] = {}
    for person_key, patient_key in connection.execute(known):
        if is_key(person_key) and is_key(patient_key):
            of_person.setdefault(person_key, set()).add(patient_key)
    return sorted(key for person_key, keys in of_person.items() for key in _one_each(person_key, keys))


def keys_of_person(connection: Connection, patient_key: str) -> tuple[str, set[str]]:
    """Return the key of the person that a patient's key belongs to, and all patients' keys of that person."""
    person = select(acquisitions.c.person_key).where(acquisitions.c.patient_key == patient_key).limit(1)
    recorded = connection.execute(person).scalar()
    person_key = recorded if is_key(recorded) else patient_key
    beside = select(acquisitions.c.patient_key).where(acquisitions.c.person_key == person_key).distinct()
    return person_key, {patient_key, *filter(is_key, connection.execute(beside).scalars())}


def keys_of_patient(connection: Connection, patient_key: str) -> set[str]:
    """Return the keys of one patient."""
    person_key, keys = keys_of_person(connection, patient_key)
    return keys if are_one(person_key, keys) else {patient_key}


def are_one(person_key: str, keys: set[str]) -> bool:
    """Return whether these keys of a person are of one patient: at most one of them has an issuer."""
    return len(keys - {person_key}) <= 1


def _one_each(person_key: str, keys: set[str]) -> set[str]:
    return (keys - {person_key} or keys) if are_one(person_key, keys) else keys


def known_scan(connection: Connection, row: Row[tuple[object, ...]]) -> KnownScan:
    """Return a scan by its row of `acquisitions`, with `dirty` of its series."""
    found = results_of_ct(connection, row.series_uid)
    # A scan fetched together with our results needs no job; an incomplete scan gets none.
    awaits_job = row.is_complete and (row.role == SENT or not any(result.is_ours for result in found))
    try:
        job, is_damaged = _latest_job(connection, row.series_uid), False
    except DamagedRecord:  # its later scans wait as for one that is analysed, instead of being compared without it
        job, is_damaged = None, True
    return KnownScan(
        study_uid=row.study_uid,
        series_uid=row.series_uid,
        day=(row.acquired_on or "")[:8],
        is_dirty=is_damaged or bool(row.dirty and awaits_job),
        job=job,
        ct_uids=stored_uids(connection, row.series_uid) if row.is_complete else (),
        results=found,
    )


def _latest_job(connection: Connection, series_uid: str) -> KnownJob | None:
    of_series = and_(jobs.c.series_uid == series_uid, jobs.c.state != JobState.SUPERSEDED)
    latest = select(jobs).where(of_series).order_by(jobs.c.updated_at.desc(), jobs.c.job_key).limit(1)
    found = all_records(connection, jobs, connection.execute(latest), lambda row: _known_job(connection, row))
    return found[0] if found else None


def _known_job(connection: Connection, row: Row[tuple[object, ...]]) -> KnownJob:
    written = select(documents.c.job_key).where(documents.c.job_key == row.job_key)
    return KnownJob(
        job_key=row.job_key,
        state=JobState(row.state),
        config_hash=row.config_hash,
        sop_instance_uids=tuple(row.sop_instance_uids),
        images_sha256=row.images_sha256,
        has_files=row.files_removed_at is None,
        has_documents=connection.execute(written).first() is not None,
    )


def results_of_ct(connection: Connection, ct_series_uid: str) -> tuple[Result, ...]:
    """Return the fetched SEG and SR of a CT series."""
    of_ct = select(results).where(results.c.ct_series_uid == ct_series_uid).order_by(results.c.sop_instance_uid)
    return tuple(records(connection, results, connection.execute(of_ct), _result))


def _result(row: Row[tuple[object, ...]]) -> Result:
    return Result(
        sop_instance_uid=row.sop_instance_uid,
        sop_class_uid=row.sop_class_uid,
        series_uid=row.series_uid,
        study_uid=row.study_uid,
        ct_series_uid=row.ct_series_uid,
        is_ours=row.is_ours,
        refers_to=tuple((sop_class, uid) for sop_class, uid in row.refers_to),
    )
