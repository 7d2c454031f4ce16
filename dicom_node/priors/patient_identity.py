"""Patient identity and study date from a DICOM header, and the pseudonymous key of the patient.

The identity stays in memory: journal, log and exceptions contain the key alone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import Dataset

from dicom_node.dicom_file import read_file, value_of
from dicom_node.errors import UnreadableInstance

_TAGS = ["PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatientIdentity:
    """Patient attributes that a PACS identifies patients by, and the study date. Empty strings: not known."""

    patient_id: str = field(default="", repr=False)
    issuer: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)
    sex: str = field(default="", repr=False)
    acquired_on: str = field(default="", repr=False)
    """Study date and time, YYYYMMDDHHMMSS in the scanner's local time."""

    @property
    def is_certain(self) -> bool:
        """Whether all attributes needed for identification are known: an ID alone may be used for two patients."""
        return all((self.patient_id, self.birth_date, self.sex, self.acquired_on))

    @property
    def day(self) -> str:
        """Study date, YYYYMMDD."""
        return self.acquired_on[:8]

    def contradicts(self, other: PatientIdentity) -> bool:
        """Whether the two are different patients; an attribute unknown in one of them is not compared."""
        pairs = [
            (self.patient_id, other.patient_id),
            (self.issuer, other.issuer),
            (self.birth_date, other.birth_date),
            (self.sex, other.sex),
        ]
        return any(one and another and one != another for one, another in pairs)

    def patient_key(self, salt: bytes) -> str | None:
        """Return the HMAC-SHA-256 of the patient (64 hex digits); None if the identity is not certain."""
        if not self.is_certain:
            return None
        person = json.dumps([self.issuer, self.patient_id, self.birth_date, self.sex])
        return hmac.new(salt, person.encode("utf-8"), hashlib.sha256).hexdigest()


UNKNOWN = PatientIdentity()


def read_identity(path: Path) -> PatientIdentity:
    """Return the identity in the header of a file; UNKNOWN if it cannot be read."""
    try:
        return identity_of(read_file(path, header_only=True, keywords=_TAGS))
    except (UnreadableInstance, OSError):
        return UNKNOWN


def identity_of(header: Dataset) -> PatientIdentity:
    """Return the identity in a header or in a query response."""
    date, sex = _text(header, "StudyDate"), _text(header, "PatientSex").upper()
    time = re.sub(r"\D.*", "", _text(header, "StudyTime"))[:6].ljust(6, "0")
    birth_date = _text(header, "PatientBirthDate")
    return PatientIdentity(
        patient_id=_text(header, "PatientID"),
        issuer=_text(header, "IssuerOfPatientID"),
        birth_date=birth_date if _is_date(birth_date) else "",
        sex=sex if sex in ("M", "F", "O") else "",
        acquired_on=date + time if _is_date(date) else "",
    )


def _text(header: Dataset, keyword: str) -> str:
    value = value_of(header, keyword)
    return "" if value is None else str(value).strip(" \0")


def _is_date(text: str) -> bool:
    return re.fullmatch(r"\d{8}", text) is not None
