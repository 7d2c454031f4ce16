"""Decides when a series is complete. Knows nothing of what happens next."""

from __future__ import annotations

import logging
from collections.abc import Callable

from dicom_node.jobs import Job
from dicom_node.journal.journal import Journal
from dicom_node.prior import NOT_QUERIED, Priors
from dicom_node.series import Series

log = logging.getLogger(__name__)

PriorsFor = Callable[[Series, float], Priors | None]
"""Returns what a series is compared with, now; None while it waits for that."""


def assemble(
    journal: Journal,
    config_hash: str,
    quiet_period_s: float,
    now: float,
    priors_for: PriorsFor = lambda _series, _now: NOT_QUERIED,
) -> list[Job]:
    """Queue the job of every series that has been quiet for long enough, and return these jobs.

    Nobody can know when a series is complete, so late slices are no error: they make another job, in place of the
    first. A series whose waiting job is for another recipe (the model was exchanged) is assembled anew.
    """
    journal.reopen_outdated(config_hash)
    jobs: list[Job] = []
    for series in journal.quiet_series(now - quiet_period_s):
        priors = priors_for(series, now)
        if priors is not None and (job := journal.create_job(series, config_hash, now, priors)):
            count = len(series.sop_instance_uids)
            log.info("series %s is complete: %d instances, priors %s", series.series_uid, count, priors.search)
            jobs.append(job)
    return jobs
