"""Fetches the prior studies of one patient: SEG and SR, and CT within the limits.

Series that are incomplete or belong to another patient are removed again, and counted or reported in one line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from dicom_node.clock import CLOCK
from dicom_node.errors import PacsUnavailable, UnreadableInstance
from dicom_node.journal.journal import Journal
from dicom_node.journal.priors import AcquisitionRecord
from dicom_node.journal.schema import FETCHED, SENT
from dicom_node.prior import KnownScan
from dicom_node.priors.patient_identity import PatientIdentity
from dicom_node.priors.query import FoundSeries, FoundStudy, best_ct
from dicom_node.priors.result_header import read_results
from dicom_node.priors.source import Source
from dicom_node.priors.timeline import PatientTimeline
from dicom_node.storage.spool import Spool

_SLICE_MB = 0.5
"""512 x 512 pixels of two bytes; C-FIND does not return sizes."""


@dataclass(slots=True, kw_only=True)
class PriorFetcher:
    """Fetches the series of one search, and collects its problems."""

    journal: Journal
    spool: Spool
    timeline: PatientTimeline
    patient_key: str
    identity: PatientIdentity
    """Of the patient; it is certain."""
    size_limit_mb: int
    fetched_mb: float = 0.0
    identity_mismatches: int = 0
    """Number of studies and series with the same patient ID that belong to another patient."""
    problems: list[str] = field(default_factory=list)

    def fetch_results(self, source: Source, series: FoundSeries) -> None:
        """Fetch a series of SEG or SR, ours or readers', without a size limit."""
        is_stored = len(self.journal.series.stored_uids(series.series_uid)) >= max(series.instances, 1)
        if not is_stored and not self._retrieve(source, series):
            return
        stored = self.journal.series.stored_uids(series.series_uid)
        if not self._is_of_patient(series.series_uid, stored):
            return
        for path in self.spool.instance_paths(series.series_uid, stored):
            try:
                self.journal.priors.record_results(read_results(path))
            except UnreadableInstance as error:
                self.problems.append(f"series {series.series_uid}: {error}")

    def fetch_ct(self, source: Source, study: FoundStudy, found: Sequence[FoundSeries]) -> None:
        """Fetch the CT of a study, unless it is too large; it is analysed if we have no results of it."""
        analysed = self.journal.priors.series_with_results(study.study_uid)
        failed = {scan.series_uid for scan in self.scans_of(study) if scan.has_failed}
        ct = best_ct([series for series in found if series.series_uid not in failed], analysed)
        is_identified = study.identity.is_certain or bool(analysed)  # the headers of results identified the patient
        for series_uid in analysed if ct is None else [ct.series_uid]:  # the PACS may have results without the CT
            self._record(study, series_uid, is_identified=is_identified)
        if ct is None or self._is_too_large(ct) or not self._retrieve(source, ct):
            return
        stored = self.journal.series.stored_uids(ct.series_uid)
        if self._is_of_patient(ct.series_uid, stored):
            self.fetched_mb += max(ct.slices, len(stored)) * _SLICE_MB
            found_identity = self.timeline.identity_of(ct.series_uid, stored)
            keys = self._keys(found_identity.issuer)
            self.journal.priors.mark_complete(ct.series_uid, **keys, acquired_on=found_identity.acquired_on)

    def scans_of(self, study: FoundStudy) -> list[KnownScan]:
        """Return the recorded scans of a study of this patient."""
        scans = self.journal.priors.scans_of(self.patient_key)
        return [scan for scan in scans if scan.study_uid == study.study_uid]

    def _record(self, study: FoundStudy, series_uid: str, *, is_identified: bool) -> None:
        """Record a series as FETCHED before it is fetched, so that a part of it is not assembled."""
        known = self.journal.priors.acquisition(series_uid)
        if known is not None and known.role == SENT:
            return
        keys = self._keys(study.identity.issuer) if is_identified else {"patient_key": None, "person_key": None}
        acquisition = AcquisitionRecord(
            series_uid=series_uid,
            study_uid=study.study_uid,
            **keys,
            acquired_on=study.identity.acquired_on,
            role=FETCHED,
            is_complete=False,
            read_at=CLOCK.now(),
        )
        self.journal.priors.record_acquisition(acquisition)

    def _is_too_large(self, ct: FoundSeries) -> bool:
        limit_mb = self.size_limit_mb
        if self.fetched_mb + ct.slices * _SLICE_MB <= limit_mb:
            return False
        skipped = f"series {ct.series_uid}, {ct.slices} slices, was skipped"
        self.problems.append(f"{skipped}: node.priors_size_limit_mb is {limit_mb}")
        return True

    def _retrieve(self, source: Source, series: FoundSeries) -> bool:
        """Retrieve a series; False, with all of it removed, if it is incomplete."""
        try:
            retrieval = source.retrieve(series.study_uid, series.series_uid)
        except PacsUnavailable as error:
            self._drop(series.series_uid)
            if error.status is None:
                raise
            self.problems.append(f"series {series.series_uid}: {error}")
            return False
        stored = len(self.journal.series.stored_uids(series.series_uid))
        if stored and stored >= series.instances and not retrieval.failed:
            return True
        self._drop(series.series_uid)
        expected = max(series.instances, retrieval.completed + retrieval.failed)
        self.problems.append(
            f"series {series.series_uid}: {stored} of {expected} instances received from {source.peer.name}"
        )
        return False

    def _is_of_patient(self, series_uid: str, stored: Sequence[str]) -> bool:
        """Whether the header identifies the patient; a series of another patient is removed."""
        found = self.timeline.identity_of(series_uid, stored)
        if not found.is_certain or found.contradicts(self.identity):
            self.identity_mismatches += 1
        elif bool(found.issuer) is not bool(self.identity.issuer) and self._has_several_issuers():
            fact = "one of the two scans does not name the issuer of the patient ID, and several issuers gave it"
            self.problems.append(f"series {series_uid}: {fact}")
        else:
            return True
        self._drop(series_uid)
        return False

    def _has_several_issuers(self) -> bool:
        return self.journal.priors.has_several_issuers(self.patient_key)

    def _keys(self, issuer: str) -> dict[str, str]:
        """Return the keys of the patient by name; a scan that does not name the issuer has its own."""
        named, person = (replace(self.identity, issuer=name) for name in (issuer, ""))
        return {
            "patient_key": self.timeline.key_of(named) or "",
            "person_key": self.timeline.key_of(person) or "",
        }

    def _drop(self, series_uid: str) -> None:
        """Remove a fetched series; a series that a peer sent meanwhile stays."""
        known = self.journal.priors.acquisition(series_uid)
        if known is None or known.role == FETCHED:
            self.journal.series.drop(series_uid)
            self.spool.remove_series(series_uid)
