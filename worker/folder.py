"""`lungspread run` and `send`: a folder of files instead of an association. Computes nothing itself."""

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
from worker.priors.collect import LUNGS_FILE, NOT_QUERIED, CollectedFiles
from worker.settings import WorkerSettings, config_hash

_RESULTS = ("findings.json", "seg.dcm", "sr.dcm", "report*.png", "report.pdf", LUNGS_FILE)


def dicom_files(folder: Path) -> list[Path]:
    """Return the files below the folder that begin as DICOM files do (PS3.10 7.1), sorted; DICOMDIR is none."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "DICOMDIR")
    return [path for path in files if _begins_as_dicom(path)]


def analyse_folder(
    folder: Path,
    out: Path,
    settings: WorkerSettings,
    segmenter: Segmenter,
    progress: Progress,
    earlier: CollectedFiles = NOT_QUERIED,
) -> Analysis:
    """Analyse a folder that holds one CT series; the results appear in `out` together, in place of earlier ones.

    Without earlier scans the key is that of a job of the same instances, so the results have the same UIDs as those
    the PACS would get.
    """
    files = dicom_files(folder)
    own_config_hash = config_hash(settings, segmenter.card)
    among = tuple(uid for scan in earlier.scans for uid in _uids(scan.documents))
    key = job_key(_uids(files), own_config_hash, among)
    request = AnalysisRequest(job_key=key, config_hash=own_config_hash, outputs=settings.outputs, earlier=earlier)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=out) as hidden:
        analysis = analyse(files, request, segmenter, Path(hidden), progress)
        for old in (old for name in _RESULTS for old in out.glob(name)):
            old.unlink()
        for result in Path(hidden).iterdir():
            shutil.move(result, out / result.name)
    return analysis


def _begins_as_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _uids(files: Sequence[Path]) -> tuple[str, ...]:
    """Return the SOP instance UIDs that can be read; `load` refuses the others by name."""
    uids = set()
    for file in files:
        try:
            header = pydicom.dcmread(file, specific_tags=["SOPInstanceUID"], stop_before_pixels=True)
        except (InvalidDicomError, EOFError, OSError, ValueError, AttributeError, KeyError):
            continue
        uids.add(str(header.get("SOPInstanceUID", "")))
    return tuple(sorted(uids))
