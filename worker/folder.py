"""Analyses a folder of DICOM files, as `lungspread run` does, and lists the DICOM files of a folder."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError

from dicom_node.jobs import job_key
from models.segmenter import Progress, Segmenter
from worker.pipeline import Analysis, AnalysisRequest, analyse
from worker.priors.files import LUNGS_FILE, NOT_QUERIED, CollectedFiles
from worker.settings import WorkerSettings, config_hash

_RESULTS = ("findings.json", "seg.dcm", "sr.dcm", "report*.png", "report.pdf", LUNGS_FILE)


_FOREIGN = {
    ".bmp", ".cfg", ".csv", ".db", ".gif", ".gz", ".htm", ".html", ".ini", ".jpeg", ".jpg", ".json", ".log", ".md",
    ".nii", ".nrrd", ".pdf", ".png", ".rtf", ".tif", ".tiff", ".toml", ".tsv", ".txt", ".xlsx", ".xml", ".yaml", ".yml",
    ".zip",
}  # fmt: skip
_DIRECTORY = b"1.2.840.10008.1.3.10"
"""Media Storage Directory Storage, a DICOMDIR under any name (Philips writes DIRFILE)."""
_BEGINNING = 1024


def dicom_files(folder: Path) -> list[Path]:
    """Return the files below the folder that are, or should be, DICOM, sorted.

    Only what is known not to be DICOM is left out: hidden files, other formats by their suffix, texts, a DICOMDIR. An
    empty file, or one without preamble, is a slice that would be missing without a word: `load` refuses it.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return [path for path in files if path.suffix.lower() not in _FOREIGN and not _is_other(path)]


def _is_other(path: Path) -> bool:
    """Whether a file is a text, or the directory of a medium."""
    with path.open("rb") as file:
        beginning = file.read(_BEGINNING)
    if beginning[128:132] == b"DICM":
        return _DIRECTORY in beginning
    return bool(beginning) and all(byte in b"\t\n\r" or byte >= 0x20 for byte in beginning)


def analyse_folder(
    folder: Path,
    out: Path,
    settings: WorkerSettings,
    segmenter: Segmenter,
    progress: Progress,
    priors: CollectedFiles = NOT_QUERIED,
) -> Analysis:
    """Analyse a folder that holds one CT series, and replace the results in `out` with the new ones at the end.

    Without priors the job key is that of a queued job of the same instances, so the results have the same UIDs as those
    that are sent to the PACS. Raises SeriesRejected and ModelError as `analyse` does.
    """
    files = dicom_files(folder)
    own_config_hash = config_hash(settings, segmenter.card)
    prior_uids = tuple(uid for scan in priors.scans for uid in _uids(scan.documents))
    key = job_key(_uids(files), own_config_hash, prior_uids)
    request = AnalysisRequest(job_key=key, config_hash=own_config_hash, outputs=settings.outputs, priors=priors)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=out) as new_results:
        analysis = analyse(files, request, segmenter, Path(new_results), progress)
        for old in (old for name in _RESULTS for old in out.glob(name)):
            old.unlink()
        for result in Path(new_results).iterdir():
            shutil.move(result, out / result.name)
    return analysis


def _uids(files: Sequence[Path]) -> tuple[str, ...]:
    """Return the SOP Instance UIDs of the readable files, sorted; `load` rejects a series with unreadable ones."""
    uids = set()
    for file in files:
        try:
            header = pydicom.dcmread(file, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)
        except (InvalidDicomError, EOFError, OSError, ValueError, AttributeError, KeyError):
            continue
        uids.add(str(header.get("SOPInstanceUID", "")))
    return tuple(sorted(uids))
