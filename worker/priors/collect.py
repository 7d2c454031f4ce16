"""What is at hand of the patient's earlier scans: from the node's answer to scans that were read. Compares nothing."""

from __future__ import annotations

from dataclasses import dataclass

from dicom_node.prior import Priors, PriorScan, PriorSearch
from dicom_node.storage.spool import Spool
from models.segmenter import ModelCard
from worker.priors.read import Prior, PriorFiles, PriorUnreadable, read_prior

LUNGS_FILE = "lungs.nii.gz"
"""Beside the documents of a job: both lungs, for comparisons to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedFiles:
    """How the search for earlier scans ended, and what is at hand of them."""

    search: PriorSearch
    reason: str | None = None
    scans: tuple[PriorFiles, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedPriors:
    """How the search for earlier scans ended, and the scans that could be read."""

    search: PriorSearch
    reason: str | None = None
    priors: tuple[Prior, ...] = ()


NOT_QUERIED = CollectedFiles(search=PriorSearch.NOT_QUERIED)


def collected_files(priors: Priors, spool: Spool) -> CollectedFiles:
    """Return where the files of a job's earlier scans lie."""
    scans = tuple(_files_of(scan, spool) for scan in priors.scans)
    return CollectedFiles(search=priors.search, reason=priors.reason, scans=scans)


def read_priors(files: CollectedFiles, card: ModelCard) -> CollectedPriors:
    """Read what can be read; a scan that cannot is no reason to keep the current one waiting, and is named."""
    priors, reasons = [], [files.reason] if files.reason else []
    for scan in files.scans:
        try:
            priors.append(read_prior(scan, card))
        except PriorUnreadable as unreadable:
            reasons.append(str(unreadable))
    return CollectedPriors(search=files.search, reason="; ".join(reasons) or None, priors=tuple(priors))


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
