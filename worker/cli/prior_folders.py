"""`lungspread run --prior FOLDER`: earlier scans from folders; one without results is analysed first. No PACS here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from pydicom import dcmread
from pydicom.uid import CTImageStorage

from dicom_node.errors import SettingsError
from dicom_node.prior import PriorSearch
from models.segmenter import Progress, Segmenter
from worker.ct.acquisition import study_date
from worker.folder import analyse_folder, dicom_files
from worker.priors.collect import LUNGS_FILE, NOT_QUERIED, CollectedFiles
from worker.priors.read import PriorFiles
from worker.settings import WorkerSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class _Folder:
    """One `--prior`: what lies in it, and of which day it is."""

    path: Path
    day: date
    files: PriorFiles


def priors_in_folders(
    folders: Sequence[Path], out: Path, settings: WorkerSettings, segmenter: Segmenter, progress: Progress
) -> CollectedFiles:
    """Return the scans of these folders, the oldest first; what has no SEG or SR yet is analysed into `out`/priors.

    A folder holds a CT series, or what came of one (SEG, SR, lungs.nii.gz), or both. Raises SettingsError for one that
    holds neither.
    """
    earlier = NOT_QUERIED
    found = sorted((_read(number, folder) for number, folder in enumerate(folders, start=1)), key=lambda each: each.day)
    for number, each in enumerate(found, start=1):
        files = each.files
        if not files.documents:
            target = out / "priors" / str(number)
            analyse_folder(each.path, target, settings, segmenter, progress, earlier)
            files = replace(files, documents=_files(target)[1], lungs=_lungs(target))
        earlier = CollectedFiles(search=PriorSearch.FOUND, scans=(*earlier.scans, files))
    return earlier


def _read(number: int, folder: Path) -> _Folder:
    ct, documents = _files(folder)
    if not ct and not documents:
        raise SettingsError(f"--prior {number}: the folder holds neither a CT series nor a SEG or SR")
    day = study_date(dcmread((ct or documents)[0], specific_tags=["StudyDate"], stop_before_pixels=True))
    if day is None:
        raise SettingsError(f"--prior {number}: its first file has no StudyDate, so that it cannot be put in order")
    return _Folder(path=folder, day=day, files=PriorFiles(ct=ct, documents=documents, lungs=_lungs(folder)))


def _files(folder: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the CT images, and all other DICOM files."""
    kinds = {
        path: dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True).get("SOPClassUID")
        for path in dicom_files(folder)
    }
    ct = tuple(path for path, kind in kinds.items() if kind == CTImageStorage)
    return ct, tuple(path for path in kinds if path not in ct)


def _lungs(folder: Path) -> Path | None:
    path = folder / LUNGS_FILE
    return path if path.exists() else None
