"""Analyses a folder of DICOM files, as `lungspread run` does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_node.dicom_file import read_file, value_of
from dicom_node.errors import UnreadableInstance
from dicom_node.identifiers import is_uid
from dicom_node.jobs import job_key
from dicom_node.series import images_sha256
from dicom_node.storage.content import data_set_sha256
from models.segmenter import Progress, Segmenter
from worker.ct.files import dicom_files
from worker.pipeline import Analysis, AnalysisRequest, analyse
from worker.priors.files import LUNGS_FILE, NOT_QUERIED, CollectedFiles
from worker.settings import WorkerSettings, config_hash

_RESULTS = ("findings.json", "seg.dcm", "sr.dcm", "report*.png", "report.pdf", LUNGS_FILE)


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
    images = _images_sha256(files)
    request = AnalysisRequest(
        job_key=job_key(images, own_config_hash, prior_uids),
        images_sha256=images,
        config_hash=own_config_hash,
        outputs=settings.outputs,
        priors=priors,
    )
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=out) as new_results:
        analysis = analyse(files, request, segmenter, Path(new_results), progress)
        for old in (old for name in _RESULTS for old in out.glob(name)):
            old.unlink()
        for result in Path(new_results).iterdir():
            shutil.move(result, out / result.name)
    return analysis


def _images_sha256(files: Sequence[Path]) -> str:
    """Return the hash of the readable images, as the node computes it; `load` rejects a series with unreadable ones."""
    headers = [(file, header) for file in files if (header := _header(file)) is not None]
    series_uid = _uid(headers[0][1], "SeriesInstanceUID") if headers else ""
    data_sets = [(_uid(header, "SOPInstanceUID"), data_set_sha256(file)) for file, header in headers]
    return images_sha256(series_uid, data_sets)


def _uids(files: Sequence[Path]) -> tuple[str, ...]:
    """Return the SOP Instance UIDs of the readable files, sorted."""
    headers = [header for file in files if (header := _header(file)) is not None]
    return tuple(sorted({_uid(header, "SOPInstanceUID") for header in headers}))


def _header(file: Path) -> Dataset | None:
    try:
        return read_file(file, header_only=True, keywords=["SOPInstanceUID", "SeriesInstanceUID"])
    except (UnreadableInstance, OSError):
        return None


def _uid(header: Dataset, keyword: str) -> str:
    uid = value_of(header, keyword)
    return str(uid) if is_uid(uid) else ""
