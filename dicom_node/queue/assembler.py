"""Creates the jobs of the series that were chosen, once their priors are known."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from dicom_node.jobs import Job, Priority
from dicom_node.journal.journal import Journal
from dicom_node.prior import NOT_QUERIED, Priors
from dicom_node.selection.choice import Choice
from dicom_node.series import Series

log = logging.getLogger(__name__)

PriorsFor = Callable[[Series, float], Priors | None]
"""Returns the priors of a series; None while it waits for them."""


def assemble(
    journal: Journal,
    config_hash: str,
    choices: Iterable[Choice],
    now: float,
    priors_for: PriorsFor = lambda _series, _now: NOT_QUERIED,
    priority_of: Callable[[Series], Priority] = lambda _: Priority.ROUTINE,
) -> list[Job]:
    """Queue a job for every chosen series, and return these jobs.

    DICOM does not tell when a series or a study is complete, so late slices are not an error: they make a new job that
    supersedes the first, as does a late series that suits better.
    """
    jobs: list[Job] = []
    for choice in choices:
        job = None
        if choice.series is not None:
            priors = priors_for(choice.series, now)
            if priors is None:
                continue
            others = [series.series_uid for series in choice.set_aside]
            priority = priority_of(choice.series)
            job = journal.jobs.create(choice.series, config_hash, now, priors, others, priority)
            if job is not None:
                log.info(
                    "series %s is analysed: %d instances, priority %s, priors %s, %d other series of the study",
                    choice.series.series_uid, len(choice.series.sop_instance_uids), priority.name, priors.search,
                    len(others),
                )  # fmt: skip
                jobs.append(job)
        journal.selections.decide(choice.series, choice.set_aside)
    return jobs
