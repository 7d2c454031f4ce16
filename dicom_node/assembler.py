"""Decides when a series is complete. Knows nothing of what happens next."""

from __future__ import annotations

import logging

from dicom_node.jobs import Job
from dicom_node.journal import Journal

log = logging.getLogger(__name__)


def assemble(journal: Journal, recipe: str, quiet_period_s: float, now: float) -> list[Job]:
    """Queue the job of every series that has been quiet for long enough, and return these jobs.

    Nobody can know when a series is complete, so late slices are no error: they make another job, in place of the
    first. A series whose waiting job is for another recipe (the model was exchanged) is assembled anew.
    """
    journal.reopen_outdated(recipe)
    jobs: list[Job] = []
    for series in journal.quiet_series(now - quiet_period_s):
        job = journal.create_job(series, recipe, now)
        if job is not None:
            log.info("series %s is complete: %d instances", series.series_uid, len(series.sop_instance_uids))
            jobs.append(job)
    return jobs
