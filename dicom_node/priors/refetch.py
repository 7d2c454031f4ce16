"""Retrieves a scan again whose files were deleted, because it must be compared again."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from dicom_node.errors import PacsUnavailable
from dicom_node.journal.journal import Journal
from dicom_node.prior import KnownScan
from dicom_node.priors.source import Source, aborted_at
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)


def refetch(scan: KnownScan, sources: Sequence[Source], journal: Journal, spool: Spool, time_limit_s: float) -> bool:
    """Retrieve all analysed CT instances of a scan again; False, with nothing stored, if no source has all of them."""
    journal.priors.mark_refetching(scan.series_uid)  # an incomplete series is not assembled
    if any(_is_complete_from(scan, source, journal, time_limit_s) for source in sources):
        journal.priors.mark_refetched(scan.series_uid)
        log.info("series %s was retrieved again, to be compared with its priors", scan.series_uid)
        return True
    journal.series.drop(scan.series_uid)
    spool.remove_series(scan.series_uid)
    journal.priors.mark_refetched(scan.series_uid)
    log.warning("series %s is not compared again: its files were deleted, and no peer has all of them", scan.series_uid)
    return False


def _is_complete_from(scan: KnownScan, source: Source, journal: Journal, time_limit_s: float) -> bool:
    uids = set(scan.job.sop_instance_uids) if scan.job else set[str]()
    try:
        with aborted_at(source, time.monotonic() + time_limit_s):
            source.retrieve(scan.study_uid, scan.series_uid)
    except PacsUnavailable as error:
        log.warning("series %s was not retrieved again: %s", scan.series_uid, error)
    return uids <= set(journal.series.stored_uids(scan.series_uid))
