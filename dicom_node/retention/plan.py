"""Decides what is removed: a pure function of what is stored, the settings and the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dicom_node.jobs import JobState
from dicom_node.journal.stored import Stored, StoredJob, StoredSeries
from dicom_node.retention.settings import RetentionSettings

DAY_S = 86400.0
_PENDING = (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """A series of the inbox, or the results of a job, that is removed. setting: the one by which it is old enough."""

    name: str
    """Series Instance UID, or job key."""
    study_uid: str
    """Empty if nothing says it."""
    setting: str
    age_days: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is removed."""

    series: tuple[Removal, ...]
    results: tuple[Removal, ...]
    leftovers: tuple[Removal, ...] = ()
    """Results that no job of the journal has."""


def plan(stored: Stored, settings: RetentionSettings, now: float) -> Plan:
    """Return what is old enough to be removed, and waits for nothing."""
    by_series: dict[str, list[StoredJob]] = {}
    by_study: dict[str, list[StoredJob]] = {}
    for job in stored.jobs:
        by_series.setdefault(job.series_uid, []).append(job)
        by_study.setdefault(job.study_uid, []).append(job)
    series = [
        removal
        for one in stored.series
        if not one.is_needed
        if (removal := _old(one, _of_series(one, by_series, by_study), settings, now))
    ]
    results = [
        removal
        for job in stored.jobs
        if not (job.is_needed or job.are_files_removed)
        if (removal := _old(job, _of_results(job), settings, now))
    ]
    return Plan(series=tuple(series), results=tuple(results))


def _old(
    stored: StoredSeries | StoredJob, reason: tuple[str, float] | None, settings: RetentionSettings, now: float
) -> Removal | None:
    """Return the removal of what has been kept long enough. reason: the setting, and since when it counts."""
    if reason is None:
        return None
    setting, since = reason
    days: int = getattr(settings, setting)
    age_days = (now - since) / DAY_S
    if not days or age_days <= days:
        return None
    name = stored.series_uid if isinstance(stored, StoredSeries) else stored.job_key
    return Removal(name=name, study_uid=stored.study_uid, setting=setting, age_days=age_days)


def _of_series(
    one: StoredSeries, by_series: Mapping[str, Sequence[StoredJob]], by_study: Mapping[str, Sequence[StoredJob]]
) -> tuple[str, float] | None:
    """Return the setting that a series falls under and since when, None if it waits for something."""
    jobs = by_series.get(one.series_uid, [])
    if (one.is_dirty and not one.is_abandoned) or any(map(_waits, jobs)):
        return None
    if one.is_fetched or not one.has_images:
        return "priors_days", max([one.last_arrival, *(job.updated_at for job in jobs)])
    if current := [job for job in jobs if job.state is not JobState.SUPERSEDED]:
        latest = max(current, key=lambda job: job.updated_at)
        return _SETTINGS[latest.state], max(one.last_arrival, latest.updated_at)
    of_study = by_study.get(one.study_uid, [])
    if any(map(_waits, of_study)):  # it may be chosen yet
        return None
    since = max([one.last_arrival, *(job.updated_at for job in of_study)])
    return ("superseded_days" if jobs else "unselected_days"), since


def _of_results(job: StoredJob) -> tuple[str, float] | None:
    if _waits(job):
        return None
    setting = _SETTINGS[job.state]
    return ("results_days" if setting == "committed_days" else setting), job.updated_at


def _waits(job: StoredJob) -> bool:
    """Whether a job waits for a worker, or its results for a peer."""
    return job.state in _PENDING or job.is_owed


_SETTINGS: dict[JobState, str] = {
    JobState.ANALYSED: "committed_days",  # to no peer, else it would wait
    JobState.DELIVERED: "committed_days",
    JobState.COMMITTED: "committed_days",
    JobState.REJECTED: "rejected_days",
    JobState.FAILED: "failed_days",
    JobState.SUPERSEDED: "superseded_days",
}
