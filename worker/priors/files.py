"""Files of a patient's prior scans, as the DICOM node's search found them; nothing is read here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_node.journal.series import SeriesJournal
from dicom_node.prior import Priors, PriorScan, PriorSearch
from dicom_node.storage.content import changed_instances
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

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


def collected_files(priors: Priors, spool: Spool, series: SeriesJournal) -> CollectedFiles:
    """Return the files of a job's prior scans that exist, and that are what was received."""
    scans = tuple(_files_of(scan, spool, series) for scan in priors.scans)
    return CollectedFiles(search=priors.search, reason=priors.reason, scans=scans)


def _files_of(scan: PriorScan, spool: Spool, series: SeriesJournal) -> PriorFiles:
    ct = _unchanged(scan.series_uid, scan.ct_uids, spool, series)
    results: dict[str, list[str]] = {}
    for series_uid, uid in scan.results:
        results.setdefault(series_uid, []).append(uid)
    fetched = [path for each, uids in results.items() for path in _unchanged(each, uids, spool, series)]
    own = [spool.document_path(scan.job_key, name) for name in ("seg.dcm", "sr.dcm")] if scan.job_key else []
    lungs = spool.document_path(scan.job_key, LUNGS_FILE) if scan.job_key else None
    return PriorFiles(
        ct=tuple(ct),
        documents=tuple(path for path in (*own, *fetched) if path.exists()),
        lungs=lungs if lungs is not None and lungs.exists() else None,
    )


def _unchanged(series_uid: str, uids: Sequence[str], spool: Spool, series: SeriesJournal) -> list[Path]:
    """Return the files of these instances that are there, without those that have changed since they were received."""
    stored = series.data_sets(series_uid)
    there = [uid for uid in uids if spool.instance_path(series_uid, uid).exists()]
    changed = changed_instances(spool, series_uid, {uid: stored.get(uid, "") for uid in there})
    if changed:
        log.error("series %s: %d of %d files of a prior scan are not what was received, and are left out",
                  series_uid, len(changed), len(there))  # fmt: skip
    return spool.instance_paths(series_uid, [uid for uid in there if uid not in changed])
