"""What the folders of series and results say of themselves: their patient, and their study."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dicom_node.dicom_file import read_file, texts_of
from dicom_node.errors import UnreadableInstance
from dicom_node.priors.patient_identity import UNKNOWN, PatientIdentity, read_identity


def identity_in(folder: Path) -> PatientIdentity:
    """Return the identity in the first file of a folder that names a patient; UNKNOWN if none does."""
    return next((identity for identity in map(read_identity, _files(folder)) if identity.patient_id), UNKNOWN)


def study_in(folder: Path) -> str:
    """Return the Study Instance UID in the first file of a folder that has one; empty if none has."""
    return next(filter(None, map(_study, _files(folder))), "")


def _files(folder: Path) -> Iterator[Path]:
    return iter(sorted(folder.glob("[!.]*.dcm")))


def _study(file: Path) -> str:
    try:
        header = read_file(file, header_only=True, keywords=["StudyInstanceUID"])
    except (UnreadableInstance, OSError):
        return ""
    return "".join(texts_of(header, "StudyInstanceUID")[:1])
