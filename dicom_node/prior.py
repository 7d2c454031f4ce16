"""Which earlier scans of a patient a scan is compared with: the rule, and what a job is told of them.

Asks nobody and keeps nothing: `priors/search.py` asks the PACS, the journal keeps what it answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from dicom_node.jobs import JobState

REPORTS = {
    "1.2.840.10008.5.1.4.1.1.88.22": "Enhanced SR",
    "1.2.840.10008.5.1.4.1.1.88.33": "Comprehensive SR",
    "1.2.840.10008.5.1.4.1.1.88.34": "Comprehensive 3D SR",
}
SEGMENTATIONS = {
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation",
}
RESULTS = (*REPORTS, *SEGMENTATIONS)
"""SOP classes of the results, ours and readers', that are fetched beside the CT."""
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
_FINISHED = (JobState.ANALYSED, JobState.DELIVERED, JobState.COMMITTED)


class PriorSearch(StrEnum):
    """How the search for a patient's earlier scans ended."""

    FOUND = "found"
    NONE_EXISTS = "none exists"
    NOT_FETCHED = "not fetched"
    """A peer was away, too slow, or refused; or the limits of time or size were met before the first was here."""
    NOT_QUERIED = "not asked"
    """No peer is asked for priors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorScan:
    """One earlier scan: what the spool holds of it, by UID."""

    study_uid: str
    series_uid: str
    """Of the CT series."""
    job_key: str | None
    """Our finished job of it, whose outbox holds SEG and SR; None where the results came from the PACS."""
    ct_uids: tuple[str, ...]
    """The CT's instances; empty where the PACS has none any more, or it was too large."""
    results: tuple[tuple[str, str], ...]
    """(series UID, SOP instance UID) of the SEG and SR that were fetched, ours and readers'."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priors:
    """What a job is compared with."""

    search: PriorSearch
    reason: str | None
    """One line: UIDs, counts and limits."""
    scans: tuple[PriorScan, ...]
    """By date of the scan, the oldest first."""


NOT_QUERIED = Priors(search=PriorSearch.NOT_QUERIED, reason=None, scans=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A SEG or SR that was fetched, and the CT series that it is about."""

    sop_instance_uid: str
    sop_class_uid: str
    series_uid: str
    study_uid: str
    ct_series_uid: str
    is_ours: bool
    """Whether LungSpread made it; a reader did otherwise."""
    refers_to: tuple[tuple[str, str], ...]
    """(SOP class UID, SOP instance UID) of the SEG and SR that it refers to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownJob:
    """The latest job of a scan."""

    job_key: str
    state: JobState
    config_hash: str
    sop_instance_uids: tuple[str, ...]
    has_documents: bool

    @property
    def is_finished(self) -> bool:
        """Whether its results lie in the outbox, even where a peer would not take them."""
        return self.state in _FINISHED or (self.state is JobState.FAILED and self.has_documents)

    @property
    def is_on_its_way(self) -> bool:
        """Whether it waits or runs."""
        return self.state in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownScan:
    """A CT series of a patient, as far as the journal knows it."""

    study_uid: str
    series_uid: str
    day: str
    """The date of its study, YYYYMMDD."""
    is_dirty: bool
    """Whether a job of it is still to be made."""
    job: KnownJob | None
    ct_uids: tuple[str, ...]
    """Those of its instances that are held."""
    results: tuple[Result, ...]

    @property
    def is_open(self) -> bool:
        """Whether results of it are still to come."""
        return self.is_dirty or (self.job is not None and self.job.is_on_its_way)

    @property
    def is_usable(self) -> bool:
        """Whether there is something to compare with."""
        return not self.is_open and (bool(self.results) or (self.job is not None and self.job.is_finished))

    @property
    def has_ended(self) -> bool:
        """Whether it could not be analysed."""
        return not self.is_open and not self.is_usable and self.job is not None

    @property
    def slices(self) -> int:
        """How many it has, or had when it was analysed."""
        return len(self.job.sop_instance_uids if self.job else self.ct_uids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which earlier scans a scan is compared with, and what became of the others."""

    scans: tuple[PriorScan, ...]
    endings: tuple[str, ...]
    """Of the scans that could not be analysed: series UID and how the job ended."""
    open: int
    """How many are not ready yet."""


def choose(scans: Iterable[KnownScan], day: str, most: int) -> Choice:
    """Choose the newest earlier scans, one of each study; a scan of the same day is no earlier one.

    It depends on what is known alone, not on the order in which that arrived. Where none can be compared with, the
    newest that could not be analysed is named, so that the report does not say that there is none.
    """
    earlier = [scan for scan in scans if scan.day < day]
    usable = [scan for scan in earlier if scan.is_usable]
    ended = [scan for scan in earlier if scan.has_ended]
    chosen = _best_of_each_study(usable)[-most:] or _best_of_each_study(ended)[-1:]
    return Choice(
        scans=tuple(_prior(scan) for scan in chosen),
        endings=tuple(f"series {s.series_uid} was not analysed: {s.job.state}" for s in ended if s.job),
        open=sum(scan.is_open for scan in earlier),
    )


def conclude(choice: Choice, asked: Priors | None, time_limit_s: float) -> Priors:
    """Return what a job is compared with. asked: how the search for it ended; None while it has not."""
    reasons = [asked.reason] if asked and asked.reason else []
    if choice.open:
        reasons.append(f"{choice.open} earlier scans were not analysed within {time_limit_s:g} s")
    if asked is None:
        reasons.append(f"no answer to the search for earlier scans within {time_limit_s:g} s")
    reason = "; ".join([*reasons, *choice.endings]) or None
    if choice.scans:
        return Priors(search=PriorSearch.FOUND, reason=reason, scans=choice.scans)
    none_exists = asked is not None and asked.search is PriorSearch.NONE_EXISTS and not choice.open
    search = PriorSearch.NONE_EXISTS if none_exists else PriorSearch.NOT_FETCHED
    return Priors(search=search, reason=reason, scans=())


def key_parts(priors: Priors) -> tuple[str, ...]:
    """Return what the priors add to the key of a job: nothing where there are none, or nobody was asked."""
    if priors.search is PriorSearch.NOT_FETCHED:
        return ("priors not fetched",)  # its report says so, and is another one than that of a patient without
    return tuple(
        " ".join([scan.job_key or scan.series_uid, *(uid for _, uid in scan.results)]) for scan in priors.scans
    )


def _best_of_each_study(scans: Iterable[KnownScan]) -> list[KnownScan]:
    """Return the series of each study with the most slices, by date."""
    best: dict[str, KnownScan] = {}
    for scan in sorted(scans, key=lambda scan: (scan.slices, scan.series_uid)):
        best[scan.study_uid] = scan
    return sorted(best.values(), key=lambda scan: (scan.day, scan.series_uid))


def _prior(scan: KnownScan) -> PriorScan:
    """What our own journal holds of our results is newer than what a PACS sends of them."""
    job_key = scan.job.job_key if scan.job and scan.job.is_finished else None
    readers = [result for result in scan.results if not result.is_ours]
    ours = [] if job_key else _latest_of_ours([result for result in scan.results if result.is_ours])
    results = sorted((result.series_uid, result.sop_instance_uid) for result in [*ours, *readers])
    return PriorScan(
        study_uid=scan.study_uid,
        series_uid=scan.series_uid,
        job_key=job_key,
        ct_uids=scan.ct_uids,
        results=tuple(results),
    )


def _latest_of_ours(results: list[Result]) -> list[Result]:
    """Return one SR and its SEG: of several versions the one that knows most earlier reports."""
    reports = [result for result in results if result.sop_class_uid in REPORTS]
    segmentations = [result for result in results if result.sop_class_uid not in REPORTS]
    if not reports:
        return sorted(segmentations, key=lambda result: result.sop_instance_uid)[-1:]
    latest = max(reports, key=lambda result: (_earlier_reports(result), result.sop_instance_uid))
    named = {uid for _, uid in latest.refers_to}
    return [latest, *(result for result in segmentations if result.sop_instance_uid in named)]


def _earlier_reports(report: Result) -> int:
    return sum(sop_class in REPORTS for sop_class, _ in report.refers_to)
