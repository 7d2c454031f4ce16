"""The folders of `lungspread run --prior`: priors are read from them; a CT without results is analysed first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from dicom_node.dicom_file import read_file, value_of
from dicom_node.errors import SettingsError, UnreadableInstance
from dicom_node.identifiers import CT_IMAGES
from dicom_node.prior import PriorSearch
from dicom_node.priors.patient_identity import UNKNOWN, PatientIdentity, read_identity
from models.segmenter import Progress, Segmenter
from worker.ct.files import dicom_files
from worker.folder import analyse_folder
from worker.priors.acquisition import study_date
from worker.priors.files import LUNGS_FILE, NOT_QUERIED, CollectedFiles, PriorFiles
from worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """One `--prior` folder: its files and its study date."""

    path: Path
    study_date: date
    files: PriorFiles


def priors_in_folders(
    folders: Sequence[Path],
    ct_folder: Path,
    out: Path,
    settings: WorkerSettings,
    segmenter: Segmenter,
    progress: Progress,
) -> CollectedFiles:
    """Return the priors in these folders, oldest first. A CT without SEG or SR is analysed into `out`/priors.

    A folder holds a CT series, its results (SEG, SR, lungs.nii.gz), or both. Raises SettingsError if a folder holds
    neither, if its first file has no StudyDate, or if it is of another patient than `ct_folder`, by the node's rule.
    """
    priors = NOT_QUERIED
    patient = next((read_identity(path) for path in dicom_files(ct_folder)), UNKNOWN) if folders else UNKNOWN
    read = (_read(number, folder, patient) for number, folder in enumerate(folders, start=1))
    for number, prior in enumerate(sorted(read, key=lambda prior: prior.study_date), start=1):
        files = prior.files
        if not files.documents:
            target = out / "priors" / str(number)
            analyse_folder(prior.path, target, settings, segmenter, progress, priors)
            files = replace(files, documents=_files(target)[1], lungs=_lungs(target))
        priors = CollectedFiles(search=PriorSearch.FOUND, scans=(*priors.scans, files))
    return priors


def _read(number: int, folder: Path, patient: PatientIdentity) -> _Folder:
    ct, documents = _files(folder)
    if not ct and not documents:
        raise SettingsError(f"--prior {number}: the folder holds neither a CT series nor a SEG or SR")
    if read_identity((ct or documents)[0]).contradicts(patient):
        raise SettingsError(f"--prior {number}: another patient: patient ID, its issuer, birth date or sex differ")
    date_of_study = _study_date((ct or documents)[0])
    if date_of_study is None:
        raise SettingsError(f"--prior {number}: its first file has no StudyDate, which orders the priors")
    return _Folder(
        path=folder, study_date=date_of_study, files=PriorFiles(ct=ct, documents=documents, lungs=_lungs(folder))
    )


def _study_date(path: Path) -> date | None:
    try:
        return study_date(read_file(path, header_only=True, keywords=["StudyDate"]))
    except UnreadableInstance:
        return None


def _files(folder: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the CT images, with the files that cannot be read, and all other DICOM files."""
    sop_classes = {path: _sop_class(path) for path in dicom_files(folder)}
    ct = tuple(path for path, sop_class in sop_classes.items() if sop_class in (None, *CT_IMAGES))
    return ct, tuple(path for path in sop_classes if path not in ct)


def _sop_class(path: Path) -> str | None:
    """Return the SOP Class UID; None for an unreadable file: it may be a slice, so the reader is to refuse it."""
    try:
        return str(value_of(read_file(path, header_only=True, keywords=["SOPClassUID"]), "SOPClassUID"))
    except UnreadableInstance:
        return None


def _lungs(folder: Path) -> Path | None:
    path = folder / LUNGS_FILE
    return path if path.exists() else None
