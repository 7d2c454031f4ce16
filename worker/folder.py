"""Analyses a folder of DICOM files, as `lungspread run` does."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dicom_node.dicom_file import read_file, value_of
from dicom_node.errors import UnreadableInstance
from dicom_node.jobs import job_key
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
            header = read_file(file, header_only=True, keywords=["SOPInstanceUID"])
        except (UnreadableInstance, OSError):
            continue
        uids.add(str(value_of(header, "SOPInstanceUID") or ""))
    return tuple(sorted(uids))
