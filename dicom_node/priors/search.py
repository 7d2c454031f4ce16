"""Search for the prior scans of a patient: query, check the identity, select, retrieve, record.

It runs concurrently with the assembler, which waits for it at most `node.priors_time_limit_s`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dicom_node.clock import CLOCK
from dicom_node.errors import PacsUnavailable, SpoolFull
from dicom_node.journal.journal import Journal
from dicom_node.prior import PriorSearch
from dicom_node.priors.fetch import PriorFetcher
from dicom_node.priors.patient_identity import PatientIdentity
from dicom_node.priors.query import (
    FoundSeries,
    FoundStudy,
    image_query,
    prior_studies,
    series_of,
    series_query,
    study_query,
    with_frames,
)
from dicom_node.priors.refetch import refetch
from dicom_node.priors.source import PeerCooldown, Source, aborted_at
from dicom_node.priors.timeline import PatientTimeline
from dicom_node.series import Series
from dicom_node.settings import NodeSettings
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorSearcher:
    """Runs the search of each series that waits for its priors, one after the other."""

    node: NodeSettings
    journal: Journal
    spool: Spool
    timeline: PatientTimeline
    sources: Sequence[Source]
    waiting: Callable[[float], Iterable[Series]]
    """Returns, for the time, the chosen series that have no job yet."""
    cooldown: PeerCooldown = field(default_factory=PeerCooldown)
    stopping: threading.Event = field(default_factory=threading.Event)

    def step(self, now: float) -> int:
        """Search for the priors of chosen series within their deadline, and retrieve missing scans again.

        Return the number of series that were searched for.
        """
        searched = 0
        for series in self.waiting(now):
            is_in_time = CLOCK.now() < self.timeline.deadline(series)
            if is_in_time and self.timeline.is_to_be_searched(series):
                self._search(series)
                searched += 1
        for scan in self.timeline.pop_missing():
            refetch(scan, self.sources, self.journal, self.spool, self.node.priors_time_limit_s)
        return searched

    def stop(self) -> None:
        """Abort the current query or retrieval; an aborted search is repeated after a restart."""
        self.stopping.set()
        for source in self.sources:
            source.abort()

    def _search(self, series: Series) -> None:
        patient_key = self.timeline.identify(series).patient_key
        if patient_key is None:
            return
        identity = self.timeline.identity_of(series.series_uid, series.sop_instance_uids)
        search = _Search(
            searcher=self,
            study_uid=series.study_uid,
            identity=identity,
            fetcher=PriorFetcher(
                journal=self.journal,
                spool=self.spool,
                timeline=self.timeline,
                patient_key=patient_key,
                identity=identity,
                size_limit_mb=self.node.priors_size_limit_mb,
            ),
            deadline=time.monotonic() + self.timeline.deadline(series) - CLOCK.now(),
        )
        for source in self.sources:
            search.query(source)
        if self.stopping.is_set():
            return
        self.journal.priors.record_search(series.series_uid, search.outcome, search.reason, CLOCK.now())
        log.info("series %s: priors %s (%s)", series.series_uid, search.outcome, search.reason or "no problems")


@dataclass(slots=True, kw_only=True)
class _Search:
    """One search for the prior scans of one patient, until a deadline (seconds, monotonic)."""

    searcher: PriorSearcher
    study_uid: str
    """Of the scan whose priors are searched for."""
    identity: PatientIdentity
    fetcher: PriorFetcher
    deadline: float
    usable_studies: set[str] = field(default_factory=set)
    """UIDs of the studies with a scan to compare with."""

    @property
    def outcome(self) -> PriorSearch:
        """The outcome of the search."""
        if self.usable_studies:
            return PriorSearch.FOUND
        return PriorSearch.NOT_FETCHED if self.fetcher.problems else PriorSearch.NONE_EXISTS

    @property
    def reason(self) -> str | None:
        """Problems and skipped series in one line; None if there are none."""
        mismatches = [
            f"{self.fetcher.identity_mismatches} studies or series of the same patient ID belong to other patients"
        ]
        return "; ".join([*self.fetcher.problems, *(mismatches if self.fetcher.identity_mismatches else [])]) or None

    def query(self, source: Source) -> None:
        """Query one peer and fetch its prior studies; errors are added to the problems."""
        if why := self.searcher.cooldown.reason(source.peer, time.monotonic()):
            self.fetcher.problems.append(f"{source.peer.name}: {why}")
            return
        try:
            self.searcher.spool.require_room(self.searcher.node.priors_size_limit_mb << 20)
        except SpoolFull as error:  # what the node has accepted needs the space first
            self.fetcher.problems.append(f"nothing is fetched: {error}")
            return
        try:
            with aborted_at(source, self.deadline):
                self._query(source)
        except PacsUnavailable as error:
            limit_s = self.searcher.node.priors_time_limit_s
            too_late = f"not done within {limit_s:g} s (node.priors_time_limit_s)"
            why = error.why if time.monotonic() < self.deadline else too_late
            self.searcher.cooldown.start(source.peer, why, time.monotonic())
            self.fetcher.problems.append(f"{source.peer.name}: {why}")

    def _query(self, source: Source) -> None:
        found = prior_studies(source.find(study_query(self.identity)), self.identity, self.study_uid)
        self.fetcher.identity_mismatches += found.identity_mismatches
        for study in found.studies:
            if len(self.usable_studies) < self.searcher.node.max_priors and study.study_uid not in self.usable_studies:
                if time.monotonic() >= self.deadline:
                    raise PacsUnavailable(source.peer.name, "too late")
                self._fetch_study(source, study)

    def _fetch_study(self, source: Source, study: FoundStudy) -> None:
        """Fetch the missing series of a study: results first, because they refer to the CT series."""
        found = series_of(source.find(series_query(study.study_uid)), study.study_uid)
        for series in found:
            if series.modality in ("SEG", "SR") and series.is_relevant:
                self.fetcher.fetch_results(source, series)
            elif series.modality == "CT":
                self._identify_stored(series)
        if not self._is_known(study):
            self.fetcher.fetch_ct(source, study, [_counted(source, series) for series in found])
        if self._is_known(study):
            self.usable_studies.add(study.study_uid)

    def _is_known(self, study: FoundStudy) -> bool:
        """Whether the journal has, or will have, a usable scan of the study."""
        return any(scan.is_open or scan.is_usable for scan in self.fetcher.scans_of(study))

    def _identify_stored(self, series: FoundSeries) -> None:
        """Record the patient of a series that was received before patients were recorded."""
        journal = self.searcher.journal
        if journal.priors.acquisition(series.series_uid) is None and (
            uids := journal.series.stored_uids(series.series_uid)
        ):
            stored = Series(series_uid=series.series_uid, study_uid=series.study_uid, sop_instance_uids=uids)
            self.searcher.timeline.identify(stored)


def _counted(source: Source, series: FoundSeries) -> FoundSeries:
    """Return a series of few instances with the number of their frames."""
    if not series.may_be_multi_frame:
        return series
    try:
        return with_frames(series, source.find(image_query(series)))
    except PacsUnavailable as error:
        if error.status is None:
            raise
        return series  # the peer does not answer queries at this level
