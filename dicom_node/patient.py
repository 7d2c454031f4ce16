"""The patient that an image names, compared by what is said, not by how it is written: a series has one patient."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace

from pydicom import Dataset
from pydicom.tag import Tag

from dicom_node.dicom_file import value_of
from dicom_node.priors.patient_identity import identity_of

PATIENT = ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate", "PatientSex")
"""The elements that tell patients apart."""
NAMED_BY = ("SpecificCharacterSet", *PATIENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What an image says of its patient, in plain writing. Empty: it does not say, or not validly."""

    patient_id: str = field(default="", repr=False)
    issuer: str = field(default="", repr=False)
    name: tuple[str, ...] = field(default=(), repr=False)
    """Components (PS3.5 6.2.1) of the alphabetic name, in small letters without accents and punctuation."""
    birth_date: str = field(default="", repr=False)
    sex: str = field(default="", repr=False)

    def contradictions(self, other: Patient) -> tuple[str, ...]:
        """Return the keywords of the elements in which both say something, and not the same."""
        differ = (
            _differ(self.patient_id, other.patient_id),
            _differ(self.issuer, other.issuer),
            any(_differ(*pair) for pair in zip(self.name, other.name, strict=False)),
            _differ(self.birth_date, other.birth_date),
            _differ(self.sex, other.sex),
        )
        return tuple(keyword for keyword, is_different in zip(PATIENT, differ, strict=True) if is_different)

    def completed_by(self, other: Patient) -> Patient:
        """Return this patient with what only the other image says."""
        return replace(
            self,
            patient_id=self.patient_id or other.patient_id,
            issuer=self.issuer or other.issuer,
            name=self.name if any(self.name) else other.name,
            birth_date=self.birth_date or other.birth_date,
            sex=self.sex or other.sex,
        )


NOBODY = Patient()


def patient_of(header: Dataset) -> Patient:
    """Return the patient that a header names. The header stays as it was read, because documents copy its bytes."""
    header = _elements(header)
    identity = identity_of(header)
    return Patient(
        patient_id=identity.patient_id,
        issuer=identity.issuer,
        name=_name(header),
        birth_date=identity.birth_date,
        sex=identity.sex,
    )


def _elements(header: Dataset) -> Dataset:
    """Return the elements of NAMED_BY, so that pydicom decodes their values here, and not in the header."""
    elements = Dataset({Tag(keyword): header.get_item(keyword) for keyword in NAMED_BY if keyword in header})
    is_implicit_vr, is_little_endian = header.original_encoding
    elements.set_original_encoding(is_implicit_vr, is_little_endian, header.original_character_set)
    return elements


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)


def _name(header: Dataset) -> tuple[str, ...]:
    alphabetic = str(value_of(header, "PatientName") or "").split("=")[0]
    # Other letters without a Specific Character Set, or not valid in it, are read as letters that nobody wrote.
    is_told = value_of(header, "SpecificCharacterSet") is not None
    components = (
        part if part.isascii() or (is_told and "\ufffd" not in part) else "" for part in alphabetic.split("^")
    )
    name = tuple(_plain(component) for component in components)
    return name if any(name) else ()


def _plain(component: str) -> str:
    letters = unicodedata.normalize("NFKD", component).casefold()
    return " ".join(re.findall(r"\w+", "".join(each for each in letters if not unicodedata.combining(each))))
