"""Files of a patient's prior scans, as the DICOM node's search found them; nothing is read here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dicom_node.prior import Priors, PriorScan, PriorSearch
from dicom_node.storage.spool import Spool

LUNGS_FILE = "lungs.nii.gz"
"""File of both lungs in the document folder of a job, for future comparisons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorFiles:
    """Available files of one prior scan."""

    ct: tuple[Path, ...]
    """The CT series; empty if it is not available."""
    documents: tuple[Path, ...]
    """SEG and SR, ours and readers', in any order."""
    lungs: Path | None = None
    """The `lungs.nii.gz` of our job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedFiles:
    """Result of the search for prior scans, and their available files."""

    search: PriorSearch
    reason: str | None = None
    scans: tuple[PriorFiles, ...] = ()


NOT_QUERIED = CollectedFiles(search=PriorSearch.NOT_QUERIED)


def collected_files(priors: Priors, spool: Spool) -> CollectedFiles:
    """Return the existing files of a job's prior scans."""
    scans = tuple(_files_of(scan, spool) for scan in priors.scans)
    return CollectedFiles(search=priors.search, reason=priors.reason, scans=scans)


def _files_of(scan: PriorScan, spool: Spool) -> PriorFiles:
    ct = spool.instance_paths(scan.series_uid, scan.ct_uids)
    fetched = [spool.instance_path(series_uid, uid) for series_uid, uid in scan.results]
    own = [spool.document_path(scan.job_key, name) for name in ("seg.dcm", "sr.dcm")] if scan.job_key else []
    lungs = spool.document_path(scan.job_key, LUNGS_FILE) if scan.job_key else None
    return PriorFiles(
        ct=tuple(path for path in ct if path.exists()),
        documents=tuple(path for path in (*own, *fetched) if path.exists()),
        lungs=lungs if lungs is not None and lungs.exists() else None,
    )
