"""THE SEARCH for a patient's earlier scans, top to bottom: find, be sure of the person, choose, retrieve, write down.

It runs beside the assembling of series, which never waits for it longer than `node.priors_time_limit_s`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from dicom_node.errors import PacsUnavailable, UnreadableInstance
from dicom_node.history import History
from dicom_node.identity import Identity
from dicom_node.journal import Journal
from dicom_node.journal_priors import FETCHED, SENT, Acquisition
from dicom_node.prior_query import (
    FoundSeries,
    FoundStudy,
    best_ct,
    earlier_studies,
    series_of,
    series_query,
    study_query,
)
from dicom_node.prior_recovery import recover
from dicom_node.priors import KnownScan, PriorSearch
from dicom_node.result_header import read_results
from dicom_node.retrieval import Rests, Source, hung_up_at
from dicom_node.series import Series
from dicom_node.settings import NodeSettings
from dicom_node.spool import Spool

log = logging.getLogger(__name__)

_SLICE_MB = 0.5
"""512 x 512 pixels of two bytes: a PACS does not tell sizes before it sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorSearcher:
    """Searches for every series that waits for its priors, one after the other."""

    node: NodeSettings
    journal: Journal
    spool: Spool
    history: History
    sources: Sequence[Source]
    rests: Rests = field(default_factory=Rests)

    def step(self, now: float) -> None:
        """Search for the series that are quiet; what waits too long for its turn is queued without."""
        for series in self.journal.quiet_series(now - self.node.quiet_period_s):
            is_in_time = time.time() < self.history.deadline(series)
            if is_in_time and self.history.is_to_be_searched(series):
                self._search(series)
        for scan in self.history.take_missing():
            recover(scan, self.sources, self.journal, self.spool)

    def hang_up(self) -> None:
        """End what is being asked or fetched."""
        for source in self.sources:
            source.hang_up()

    def _search(self, series: Series) -> None:
        patient_key = self.history.identify(series).patient_key
        if patient_key is None:
            return
        search = _Search(
            searcher=self,
            identity=self.history.identity_of(series.series_uid, series.sop_instance_uids),
            patient_key=patient_key,
            deadline=self.history.deadline(series),
        )
        for source in self.sources:
            search.ask(source)
        self.journal.record_search(series.series_uid, search.outcome, search.reason, time.time())
        log.info("series %s: priors %s (%s)", series.series_uid, search.outcome, search.reason or "all went well")


@dataclass(slots=True, kw_only=True)
class _Search:
    """One search: for the earlier scans of one patient, until a deadline."""

    searcher: PriorSearcher
    identity: Identity
    patient_key: str
    deadline: float
    taken: set[str] = field(default_factory=set)
    """Studies that there is something to compare with of."""
    spent_mb: float = 0.0
    strangers: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> PriorSearch:
        """How it ended."""
        if self.taken:
            return PriorSearch.FOUND
        return PriorSearch.NOT_FETCHED if self.problems else PriorSearch.NONE_EXISTS

    @property
    def reason(self) -> str | None:
        """What went wrong, and what was left out; None when nothing was."""
        others = [f"{self.strangers} studies or series of the same patient ID belong to somebody else"]
        return "; ".join([*self.problems, *(others if self.strangers else [])]) or None

    def ask(self, source: Source) -> None:
        """Ask one peer; whatever goes wrong is noted."""
        if why := self.searcher.rests.why(source.peer, time.time()):
            self.problems.append(f"{source.peer.name}: {why}")
            return
        try:
            with hung_up_at(source, self.deadline):
                self._ask(source)
        except PacsUnavailable as error:
            limit_s = self.searcher.node.priors_time_limit_s
            too_late = f"not done within {limit_s:g} s (node.priors_time_limit_s)"
            why = error.why if time.time() < self.deadline else too_late
            self.searcher.rests.begin(source.peer, why, time.time())
            self.problems.append(f"{source.peer.name}: {why}")

    def _ask(self, source: Source) -> None:
        found = earlier_studies(source.find(study_query(self.identity)), self.identity)
        self.strangers += found.strangers
        for study in found.studies:
            if len(self.taken) < self.searcher.node.most_priors and study.study_uid not in self.taken:
                if time.time() >= self.deadline:
                    raise PacsUnavailable(source.peer.name, "too late")
                self._take_study(source, study)

    def _take_study(self, source: Source, study: FoundStudy) -> None:
        """Fetch of a study what is not here: results first, for they tell which CT series they are about."""
        found = series_of(source.find(series_query(study.study_uid)), study.study_uid)
        for series in found:
            if series.modality in ("SEG", "SR") and series.is_relevant:
                self._take_results(source, series)
            elif series.modality == "CT":
                self._recall(series)
        if not self._is_known(study):
            self._take_ct(source, study, found)
        if self._is_known(study):
            self.taken.add(study.study_uid)

    def _is_known(self, study: FoundStudy) -> bool:
        """Whether the journal has something of the study to compare with, or will have."""
        return any(scan.is_open or scan.is_usable for scan in self._scans_of(study))

    def _scans_of(self, study: FoundStudy) -> list[KnownScan]:
        scans = self.searcher.journal.scans_of(self.patient_key)
        return [scan for scan in scans if scan.study_uid == study.study_uid]

    def _recall(self, series: FoundSeries) -> None:
        """Note whose a series is that was received before patients were noted."""
        journal = self.searcher.journal
        if journal.acquisition(series.series_uid) is None and (held := journal.held(series.series_uid)):
            known = Series(series_uid=series.series_uid, study_uid=series.study_uid, sop_instance_uids=held)
            self.searcher.history.identify(known)

    def _take_results(self, source: Source, series: FoundSeries) -> None:
        """Fetch SEG or SR, whatever their size: ours and readers'."""
        journal = self.searcher.journal
        is_held = len(journal.held(series.series_uid)) >= max(series.instances, 1)
        if not is_held and not self._retrieve(source, series):
            return
        held = journal.held(series.series_uid)
        if not self._is_of_patient(series.series_uid, held):
            return
        for path in self.searcher.spool.instance_paths(series.series_uid, held):
            try:
                journal.record_results(read_results(path))
            except UnreadableInstance as error:
                self.problems.append(f"series {series.series_uid}: {error}")

    def _take_ct(self, source: Source, study: FoundStudy, found: Sequence[FoundSeries]) -> None:
        """Fetch the CT of a study, unless it is too large; it is analysed when there are no results of ours."""
        journal = self.searcher.journal
        analysed = journal.series_with_results(study.study_uid)
        ended = {scan.series_uid for scan in self._scans_of(study) if scan.has_ended}
        ct = best_ct([series for series in found if series.series_uid not in ended], analysed)
        for series_uid in analysed if ct is None else [ct.series_uid]:  # the PACS may have results, but the CT no more
            self._note(study, series_uid)
        if ct is None or self._is_too_large(ct) or not self._retrieve(source, ct):
            return
        held = journal.held(ct.series_uid)
        if self._is_of_patient(ct.series_uid, held):
            self.spent_mb += len(held) * _SLICE_MB
            acquired_on = self.searcher.history.identity_of(ct.series_uid, held).acquired_on
            journal.mark_complete(ct.series_uid, self.patient_key, acquired_on)

    def _note(self, study: FoundStudy, series_uid: str) -> None:
        """Note a series before it is fetched, so that what comes of it is known to be ours to complete."""
        known = self.searcher.journal.acquisition(series_uid)
        if known is not None and known.role == SENT:
            return
        acquisition = Acquisition(
            series_uid=series_uid,
            study_uid=study.study_uid,
            patient_key=self.patient_key if study.identity.is_certain else None,
            acquired_on=study.identity.acquired_on,
            role=FETCHED,
            is_complete=False,
            read_at=time.time(),
        )
        self.searcher.journal.record_acquisition(acquisition)

    def _is_too_large(self, ct: FoundSeries) -> bool:
        limit_mb = self.searcher.node.priors_size_limit_mb
        if self.spent_mb + ct.instances * _SLICE_MB <= limit_mb:
            return False
        left_out = f"series {ct.series_uid}, {ct.instances} slices, was left out"
        self.problems.append(f"{left_out}: node.priors_size_limit_mb is {limit_mb}")
        return True

    def _retrieve(self, source: Source, series: FoundSeries) -> bool:
        """Have a series sent; False, with nothing left of it, when not all of it came."""
        try:
            retrieval = source.retrieve(series.study_uid, series.series_uid)
        except PacsUnavailable as error:
            self._drop(series.series_uid)
            if error.status is None:
                raise
            self.problems.append(f"series {series.series_uid}: {error}")
            return False
        held = len(self.searcher.journal.held(series.series_uid))
        if held and held >= series.instances and not retrieval.failed:
            return True
        self._drop(series.series_uid)
        expected = max(series.instances, retrieval.completed + retrieval.failed)
        self.problems.append(f"series {series.series_uid}: {held} of {expected} instances came from {source.peer.name}")
        return False

    def _is_of_patient(self, series_uid: str, held: Sequence[str]) -> bool:
        """Whether the header says so; what belongs to somebody else is not kept."""
        history = self.searcher.history
        if history.key_of(history.identity_of(series_uid, held)) == self.patient_key:
            return True
        self.strangers += 1
        self._drop(series_uid)
        return False

    def _drop(self, series_uid: str) -> None:
        """Remove what was fetched in vain; but not what a peer has sent meanwhile of its own accord."""
        known = self.searcher.journal.acquisition(series_uid)
        if known is None or known.role == FETCHED:
            self.searcher.journal.drop_series(series_uid)
            self.searcher.spool.remove_series(series_uid)
