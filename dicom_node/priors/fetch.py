"""Fetches what a search chose of one patient: SEG and SR, and CT within the limits. Chooses no studies.

What came in part, or belongs to somebody else, is removed again; each such case is counted, or told in one line.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from dicom_node.errors import PacsUnavailable, UnreadableInstance
from dicom_node.journal.journal import Journal
from dicom_node.journal.priors import FETCHED, SENT, Acquisition
from dicom_node.prior import KnownScan
from dicom_node.priors.query import FoundSeries, FoundStudy, best_ct
from dicom_node.priors.result_header import read_results
from dicom_node.priors.source import Source
from dicom_node.priors.timeline import PatientTimeline
from dicom_node.storage.spool import Spool

_SLICE_MB = 0.5
"""512 x 512 pixels of two bytes: a PACS does not tell sizes before it sends."""


@dataclass(slots=True, kw_only=True)
class PriorFetcher:
    """What one search fetches, and what went wrong."""

    journal: Journal
    spool: Spool
    history: PatientTimeline
    patient_key: str
    size_limit_mb: int
    spent_mb: float = 0.0
    identity_mismatches: int = 0
    """Studies and series of the same patient ID that belong to somebody else."""
    problems: list[str] = field(default_factory=list)

    def take_results(self, source: Source, series: FoundSeries) -> None:
        """Fetch SEG or SR, whatever their size: ours and readers'."""
        is_held = len(self.journal.held(series.series_uid)) >= max(series.instances, 1)
        if not is_held and not self._retrieve(source, series):
            return
        held = self.journal.held(series.series_uid)
        if not self._is_of_patient(series.series_uid, held):
            return
        for path in self.spool.instance_paths(series.series_uid, held):
            try:
                self.journal.record_results(read_results(path))
            except UnreadableInstance as error:
                self.problems.append(f"series {series.series_uid}: {error}")

    def take_ct(self, source: Source, study: FoundStudy, found: Sequence[FoundSeries]) -> None:
        """Fetch the CT of a study, unless it is too large; it is analysed when there are no results of ours."""
        analysed = self.journal.series_with_results(study.study_uid)
        ended = {scan.series_uid for scan in self.scans_of(study) if scan.has_ended}
        ct = best_ct([series for series in found if series.series_uid not in ended], analysed)
        is_sure = study.identity.is_certain or bool(analysed)  # the headers of results have told who it is
        for series_uid in analysed if ct is None else [ct.series_uid]:  # the PACS may have results, but the CT no more
            self._note(study, series_uid, is_sure=is_sure)
        if ct is None or self._is_too_large(ct) or not self._retrieve(source, ct):
            return
        held = self.journal.held(ct.series_uid)
        if self._is_of_patient(ct.series_uid, held):
            self.spent_mb += len(held) * _SLICE_MB
            acquired_on = self.history.identity_of(ct.series_uid, held).acquired_on
            self.journal.mark_complete(ct.series_uid, self.patient_key, acquired_on)

    def scans_of(self, study: FoundStudy) -> list[KnownScan]:
        """Return what the journal knows of a study of this patient."""
        scans = self.journal.scans_of(self.patient_key)
        return [scan for scan in scans if scan.study_uid == study.study_uid]

    def _note(self, study: FoundStudy, series_uid: str, *, is_sure: bool) -> None:
        """Note a series before it is fetched, so that what comes of it is known to be ours to complete."""
        known = self.journal.acquisition(series_uid)
        if known is not None and known.role == SENT:
            return
        acquisition = Acquisition(
            series_uid=series_uid,
            study_uid=study.study_uid,
            patient_key=self.patient_key if is_sure else None,
            acquired_on=study.identity.acquired_on,
            role=FETCHED,
            is_complete=False,
            read_at=time.time(),
        )
        self.journal.record_acquisition(acquisition)

    def _is_too_large(self, ct: FoundSeries) -> bool:
        limit_mb = self.size_limit_mb
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
        held = len(self.journal.held(series.series_uid))
        if held and held >= series.instances and not retrieval.failed:
            return True
        self._drop(series.series_uid)
        expected = max(series.instances, retrieval.completed + retrieval.failed)
        self.problems.append(f"series {series.series_uid}: {held} of {expected} instances came from {source.peer.name}")
        return False

    def _is_of_patient(self, series_uid: str, held: Sequence[str]) -> bool:
        """Whether the header says so; what belongs to somebody else is not kept."""
        if self.history.key_of(self.history.identity_of(series_uid, held)) == self.patient_key:
            return True
        self.identity_mismatches += 1
        self._drop(series_uid)
        return False

    def _drop(self, series_uid: str) -> None:
        """Remove what was fetched in vain; but not what a peer has sent meanwhile of its own accord."""
        known = self.journal.acquisition(series_uid)
        if known is None or known.role == FETCHED:
            self.journal.drop_series(series_uid)
            self.spool.remove_series(series_uid)
