"""Decides when a series is complete, by a quiet period, and creates its job."""

from __future__ import annotations

import logging
from collections.abc import Callable

from dicom_node.jobs import Job
from dicom_node.journal.journal import Journal
from dicom_node.prior import NOT_QUERIED, Priors
from dicom_node.series import Series

log = logging.getLogger(__name__)

PriorsFor = Callable[[Series, float], Priors | None]
"""Returns the priors of a series; None while it waits for them."""


def assemble(
    journal: Journal,
    config_hash: str,
    quiet_period_s: float,
    now: float,
    priors_for: PriorsFor = lambda _series, _now: NOT_QUERIED,
) -> list[Job]:
    """Queue a job for every series without a new instance for `quiet_period_s`, and return these jobs.

    DICOM does not tell when a series is complete, so late slices are not an error: they make a new job that supersedes
    the first. A series whose queued job has another config hash (the model was replaced) is assembled again.
    """
    journal.jobs.reopen_outdated(config_hash)
    jobs: list[Job] = []
    for series in journal.series.quiet(now - quiet_period_s):
        priors = priors_for(series, now)
        if priors is not None and (job := journal.jobs.create(series, config_hash, now, priors)):
            count = len(series.sop_instance_uids)
            log.info("series %s is complete: %d instances, priors %s", series.series_uid, count, priors.search)
            jobs.append(job)
    return jobs
