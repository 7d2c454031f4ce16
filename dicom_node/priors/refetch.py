"""Fetches a scan again whose files are held no more, because it must be compared again. Decides nothing."""

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


def recover(scan: KnownScan, sources: Sequence[Source], journal: Journal, spool: Spool, time_limit_s: float) -> bool:
    """Have the CT of a scan sent again, all that was analysed of it; False, with nothing left of it, when none can."""
    journal.mark_partial(scan.series_uid)  # what comes is not assembled before all of it is here
    if any(_came(scan, source, journal, time_limit_s) for source in sources):
        journal.mark_whole(scan.series_uid)
        log.info("series %s was fetched again, to be compared with its earlier scans", scan.series_uid)
        return True
    journal.drop_series(scan.series_uid)
    spool.remove_series(scan.series_uid)
    journal.mark_whole(scan.series_uid)
    log.warning("series %s is not compared again: its files are held no more, nor sent by a peer", scan.series_uid)
    return False


def _came(scan: KnownScan, source: Source, journal: Journal, time_limit_s: float) -> bool:
    wanted = set(scan.job.sop_instance_uids) if scan.job else set[str]()
    try:
        with aborted_at(source, time.time() + time_limit_s):
            source.retrieve(scan.study_uid, scan.series_uid)
    except PacsUnavailable as error:
        log.warning("series %s was not fetched again: %s", scan.series_uid, error)
    return wanted <= set(journal.held(scan.series_uid))
