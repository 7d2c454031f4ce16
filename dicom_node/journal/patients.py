"""Which keys are of one patient: a scan that does not name the issuer of the patient ID contradicts none that does.

A patient's key includes the issuer. The person's key leaves it out, and is also the key of scans that name none. If
several issuers gave one ID, those scans may be of either patient, so that each key is a patient of its own.
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from dicom_node.journal.schema import acquisitions


def all_patients(connection: Connection) -> list[str]:
    """Return one key of each patient, sorted: that with the issuer if a scan names one."""
    known = select(acquisitions.c.person_key, acquisitions.c.patient_key).distinct()
    of_person: dict[str, set[str]] = {}
    for person_key, patient_key in connection.execute(known.where(acquisitions.c.person_key.is_not(None))):
        of_person.setdefault(person_key, set()).add(patient_key)
    return sorted(key for person_key, keys in of_person.items() for key in _one_each(person_key, keys))


def keys_of_person(connection: Connection, patient_key: str) -> tuple[str, set[str]]:
    """Return the key of the person that a patient's key belongs to, and all patients' keys of that person."""
    person = select(acquisitions.c.person_key).where(acquisitions.c.patient_key == patient_key).limit(1)
    person_key = connection.execute(person).scalar() or patient_key
    beside = select(acquisitions.c.patient_key).where(acquisitions.c.person_key == person_key).distinct()
    return person_key, {patient_key, *connection.execute(beside).scalars()}


def keys_of_patient(connection: Connection, patient_key: str) -> set[str]:
    """Return the keys of one patient."""
    person_key, keys = keys_of_person(connection, patient_key)
    return keys if are_one(person_key, keys) else {patient_key}


def are_one(person_key: str, keys: set[str]) -> bool:
    """Return whether these keys of a person are of one patient: at most one of them has an issuer."""
    return len(keys - {person_key}) <= 1


def _one_each(person_key: str, keys: set[str]) -> set[str]:
    return (keys - {person_key} or keys) if are_one(person_key, keys) else keys
