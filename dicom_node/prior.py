"""Prior scans of a patient: their records, and the selection of those that a scan is compared with.

`priors/search.py` queries the PACS, and the journal stores the answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from dicom_node.identifiers import REPORTS
from dicom_node.jobs import JobState

_FINISHED = (JobState.ANALYSED, JobState.DELIVERED, JobState.COMMITTED)


class PriorSearch(StrEnum):
    """The outcome of the search for a patient's prior scans."""

    FOUND = "found"
    NONE_EXISTS = "none exists"
    NOT_FETCHED = "not fetched"
    """A peer was unavailable or refused, or the time or size limit was reached before the first scan arrived."""
    NOT_QUERIED = "not asked"
    """No peer is configured to be queried for priors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorScan:
    """A prior scan: the UIDs of what the spool has of it."""

    study_uid: str
    series_uid: str
    """The CT series."""
    job_key: str | None
    """Our finished job of the scan, with SEG and SR in its outbox; None if the results came from the PACS."""
    ct_uids: tuple[str, ...]
    """SOP Instance UIDs of the CT; empty if the PACS no longer has it, or it was too large."""
    results: tuple[tuple[str, str], ...]
    """(Series, SOP) Instance UIDs of the SEG and SR that were fetched, ours and readers'."""
    refetched: tuple[tuple[str, str], ...] = ()
    """The same of our results that were fetched because those of the job were removed from the outbox."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priors:
    """The prior scans of a job, and the outcome of the search for them."""

    search: PriorSearch
    reason: str | None
    """One line with UIDs, counts and limits."""
    scans: tuple[PriorScan, ...]
    """Sorted by scan date, the oldest first."""


NOT_QUERIED = Priors(search=PriorSearch.NOT_QUERIED, reason=None, scans=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A fetched SEG or SR, and the CT series that it refers to."""

    sop_instance_uid: str
    sop_class_uid: str
    series_uid: str
    study_uid: str
    ct_series_uid: str
    is_ours: bool
    """True if LungSpread made it, False if a reader did."""
    refers_to: tuple[tuple[str, str], ...]
    """(SOP class UID, SOP instance UID) of the SEG and SR that it refers to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownJob:
    """The most recent job of a scan."""

    job_key: str
    state: JobState
    config_hash: str
    sop_instance_uids: tuple[str, ...]
    images_sha256: str
    """Empty if the job is older than this record."""
    has_documents: bool
    has_files: bool = True
    """False if its results were removed from the outbox."""

    @property
    def is_finished(self) -> bool:
        """Whether its results are in the outbox, even if a peer refused them."""
        return self.state in _FINISHED or (self.state is JobState.FAILED and self.has_documents)

    @property
    def is_pending(self) -> bool:
        """Whether it is queued or running."""
        return self.state in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownScan:
    """A CT series of a patient as recorded in the journal."""

    study_uid: str
    series_uid: str
    day: str
    """Study date, YYYYMMDD."""
    is_dirty: bool
    """Whether a job still has to be created for it."""
    job: KnownJob | None
    ct_uids: tuple[str, ...]
    """SOP Instance UIDs of its stored instances."""
    results: tuple[Result, ...]

    @property
    def is_open(self) -> bool:
        """Whether its results are still pending."""
        return self.is_dirty or (self.job is not None and self.job.is_pending)

    @property
    def is_usable(self) -> bool:
        """Whether it has results to compare with."""
        return not self.is_open and (bool(self.results) or (self.job is not None and self.job.is_finished))

    @property
    def has_failed(self) -> bool:
        """Whether it has a job that ended without results."""
        return not self.is_open and not self.is_usable and self.job is not None

    @property
    def slices(self) -> int:
        """Number of slices, of its job if it has one, else of the stored CT."""
        return len(self.job.sop_instance_uids if self.job else self.ct_uids)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorSelection:
    """The prior scans that a scan is compared with, and those that failed or are pending."""

    scans: tuple[PriorScan, ...]
    not_analysed: tuple[str, ...]
    """One text per prior scan that could not be analysed: series UID and final job state."""
    open: int
    """Number of prior scans whose results are pending."""


def select_priors(scans: Iterable[KnownScan], day: str, max_priors: int) -> PriorSelection:
    """Return the newest prior scans, one per study; a scan of the same day is not a prior.

    The selection does not depend on the order in which the scans arrived. If no prior is usable, the newest one that
    could not be analysed is selected, so that the report does not state that no prior exists.
    """
    priors = [scan for scan in scans if scan.day < day]
    usable = [scan for scan in priors if scan.is_usable]
    failed = [scan for scan in priors if scan.has_failed]
    selected = _largest_per_study(usable)[-max_priors:] or _largest_per_study(failed)[-1:]
    return PriorSelection(
        scans=tuple(_prior(scan) for scan in selected),
        not_analysed=tuple(f"series {s.series_uid} was not analysed: {s.job.state}" for s in failed if s.job),
        open=sum(scan.is_open for scan in priors),
    )


def close_search(selection: PriorSelection, search: Priors | None, time_limit_s: float) -> Priors:
    """Return the priors of a job. search: the outcome of the search; None if it has not ended in time."""
    reasons = [search.reason] if search and search.reason else []
    if selection.open:
        reasons.append(f"{selection.open} prior scans were not analysed within {time_limit_s:g} s")
    if search is None:
        reasons.append(f"search for prior scans not finished within {time_limit_s:g} s")
    reason = "; ".join([*reasons, *selection.not_analysed]) or None
    if selection.scans:
        return Priors(search=PriorSearch.FOUND, reason=reason, scans=selection.scans)
    none_exists = search is not None and search.search is PriorSearch.NONE_EXISTS and not selection.open
    outcome = PriorSearch.NONE_EXISTS if none_exists else PriorSearch.NOT_FETCHED
    return Priors(search=outcome, reason=reason, scans=())


def key_parts(priors: Priors) -> tuple[str, ...]:
    """Return the parts of a job's key that depend on its priors; empty if there are none or none were queried."""
    if priors.search is PriorSearch.NOT_FETCHED:
        return ("priors not fetched",)  # the report differs from that of a patient without priors
    # Not of what was fetched again: it is what the job made, and a removal must not have a scan compared again.
    return tuple(
        " ".join([scan.job_key or scan.series_uid, *(uid for _, uid in scan.results)]) for scan in priors.scans
    )


def _largest_per_study(scans: Iterable[KnownScan]) -> list[KnownScan]:
    """Return the series with the most slices of each study, sorted by date."""
    best: dict[str, KnownScan] = {}
    for scan in sorted(scans, key=lambda scan: (scan.slices, scan.series_uid)):
        best[scan.study_uid] = scan
    return sorted(best.values(), key=lambda scan: (scan.day, scan.series_uid))


def _prior(scan: KnownScan) -> PriorScan:
    """Return the scan as a prior; our own job takes precedence over results of ours from a PACS, which may be older."""
    job_key = scan.job.job_key if scan.job and scan.job.is_finished else None
    readers = [result for result in scan.results if not result.is_ours]
    ours = _our_latest_results([result for result in scan.results if result.is_ours])
    is_removed = job_key is not None and scan.job is not None and not scan.job.has_files
    return PriorScan(
        study_uid=scan.study_uid,
        series_uid=scan.series_uid,
        job_key=job_key,
        ct_uids=scan.ct_uids,
        results=_uids(readers if job_key else [*ours, *readers]),
        refetched=_uids(ours if is_removed else []),
    )


def _uids(results: Iterable[Result]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((result.series_uid, result.sop_instance_uid) for result in results))


def _our_latest_results(results: list[Result]) -> list[Result]:
    """Return one SR and its SEG; of several versions the SR that refers to the most prior reports."""
    reports = [result for result in results if result.sop_class_uid in REPORTS]
    segmentations = [result for result in results if result.sop_class_uid not in REPORTS]
    if not reports:
        return sorted(segmentations, key=lambda result: result.sop_instance_uid)[-1:]
    latest = max(reports, key=lambda result: (_prior_report_count(result), result.sop_instance_uid))
    referenced = {uid for _, uid in latest.refers_to}
    return [latest, *(result for result in segmentations if result.sop_instance_uid in referenced)]


def _prior_report_count(report: Result) -> int:
    return sum(sop_class in REPORTS for sop_class, _ in report.refers_to)
