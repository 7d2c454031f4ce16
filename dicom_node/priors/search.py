"""THE SEARCH for a patient's earlier scans, top to bottom: find, be sure of the person, choose, retrieve, write down.

It runs beside the assembling of series, which never waits for it longer than `node.priors_time_limit_s`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from dicom_node.errors import PacsUnavailable
from dicom_node.journal.journal import Journal
from dicom_node.prior import PriorSearch
from dicom_node.priors.fetch import PriorFetcher
from dicom_node.priors.patient_identity import Identity
from dicom_node.priors.query import (
    FoundSeries,
    FoundStudy,
    earlier_studies,
    series_of,
    series_query,
    study_query,
)
from dicom_node.priors.refetch import recover
from dicom_node.priors.source import PeerCooldown, Source, aborted_at
from dicom_node.priors.timeline import PatientTimeline
from dicom_node.series import Series
from dicom_node.settings import NodeSettings
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorSearcher:
    """Searches for every series that waits for its priors, one after the other."""

    node: NodeSettings
    journal: Journal
    spool: Spool
    history: PatientTimeline
    sources: Sequence[Source]
    rests: PeerCooldown = field(default_factory=PeerCooldown)
    stopping: threading.Event = field(default_factory=threading.Event)

    def step(self, now: float) -> None:
        """Search for the series that are quiet; what waits too long for its turn is queued without."""
        for series in self.journal.quiet_series(now - self.node.quiet_period_s):
            is_in_time = time.time() < self.history.deadline(series)
            if is_in_time and self.history.is_to_be_searched(series):
                self._search(series)
        for scan in self.history.take_missing():
            recover(scan, self.sources, self.journal, self.spool, self.node.priors_time_limit_s)

    def stop(self) -> None:
        """End what is being asked or fetched; a search that this cuts short is made again after a restart."""
        self.stopping.set()
        for source in self.sources:
            source.abort()

    def _search(self, series: Series) -> None:
        patient_key = self.history.identify(series).patient_key
        if patient_key is None:
            return
        search = _Search(
            searcher=self,
            identity=self.history.identity_of(series.series_uid, series.sop_instance_uids),
            fetcher=PriorFetcher(
                journal=self.journal,
                spool=self.spool,
                history=self.history,
                patient_key=patient_key,
                size_limit_mb=self.node.priors_size_limit_mb,
            ),
            deadline=self.history.deadline(series),
        )
        for source in self.sources:
            search.ask(source)
        if self.stopping.is_set():
            return
        self.journal.record_search(series.series_uid, search.outcome, search.reason, time.time())
        log.info("series %s: priors %s (%s)", series.series_uid, search.outcome, search.reason or "all went well")


@dataclass(slots=True, kw_only=True)
class _Search:
    """One search: for the earlier scans of one patient, until a deadline."""

    searcher: PriorSearcher
    identity: Identity
    fetcher: PriorFetcher
    deadline: float
    taken: set[str] = field(default_factory=set)
    """Studies that there is something to compare with of."""

    @property
    def outcome(self) -> PriorSearch:
        """How it ended."""
        if self.taken:
            return PriorSearch.FOUND
        return PriorSearch.NOT_FETCHED if self.fetcher.problems else PriorSearch.NONE_EXISTS

    @property
    def reason(self) -> str | None:
        """What went wrong, and what was left out; None when nothing was."""
        others = [
            f"{self.fetcher.identity_mismatches} studies or series of the same patient ID belong to somebody else"
        ]
        return "; ".join([*self.fetcher.problems, *(others if self.fetcher.identity_mismatches else [])]) or None

    def ask(self, source: Source) -> None:
        """Ask one peer; whatever goes wrong is noted."""
        if why := self.searcher.rests.why(source.peer, time.time()):
            self.fetcher.problems.append(f"{source.peer.name}: {why}")
            return
        try:
            with aborted_at(source, self.deadline):
                self._ask(source)
        except PacsUnavailable as error:
            limit_s = self.searcher.node.priors_time_limit_s
            too_late = f"not done within {limit_s:g} s (node.priors_time_limit_s)"
            why = error.why if time.time() < self.deadline else too_late
            self.searcher.rests.begin(source.peer, why, time.time())
            self.fetcher.problems.append(f"{source.peer.name}: {why}")

    def _ask(self, source: Source) -> None:
        found = earlier_studies(source.find(study_query(self.identity)), self.identity)
        self.fetcher.identity_mismatches += found.identity_mismatches
        for study in found.studies:
            if len(self.taken) < self.searcher.node.max_priors and study.study_uid not in self.taken:
                if time.time() >= self.deadline:
                    raise PacsUnavailable(source.peer.name, "too late")
                self._take_study(source, study)

    def _take_study(self, source: Source, study: FoundStudy) -> None:
        """Fetch of a study what is not here: results first, for they tell which CT series they are about."""
        found = series_of(source.find(series_query(study.study_uid)), study.study_uid)
        for series in found:
            if series.modality in ("SEG", "SR") and series.is_relevant:
                self.fetcher.take_results(source, series)
            elif series.modality == "CT":
                self._recall(series)
        if not self._is_known(study):
            self.fetcher.take_ct(source, study, found)
        if self._is_known(study):
            self.taken.add(study.study_uid)

    def _is_known(self, study: FoundStudy) -> bool:
        """Whether the journal has something of the study to compare with, or will have."""
        return any(scan.is_open or scan.is_usable for scan in self.fetcher.scans_of(study))

    def _recall(self, series: FoundSeries) -> None:
        """Note whose a series is that was received before patients were noted."""
        journal = self.searcher.journal
        if journal.acquisition(series.series_uid) is None and (held := journal.held(series.series_uid)):
            known = Series(series_uid=series.series_uid, study_uid=series.study_uid, sop_instance_uids=held)
            self.searcher.history.identify(known)
