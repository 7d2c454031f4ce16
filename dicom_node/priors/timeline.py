"""A patient's recorded scans over time: the priors of a new scan, and the scans to be compared again.

`search.py` queries the peers; both modules share state in the journal.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from dicom_node.clock import CLOCK
from dicom_node.jobs import JobState, job_key
from dicom_node.journal.journal import Journal
from dicom_node.journal.priors import AcquisitionRecord
from dicom_node.journal.schema import FETCHED, SENT
from dicom_node.prior import NOT_QUERIED, KnownScan, Priors, PriorSearch, close_search, key_parts, select_priors
from dicom_node.priors.patient_identity import UNKNOWN, PatientIdentity, read_identity
from dicom_node.series import Series
from dicom_node.settings import NodeSettings
from dicom_node.storage.spool import Spool, patient_salt

log = logging.getLogger(__name__)

_PATIENTS_PER_STEP = 20
_NOT_CERTAIN = "patient ID, birth date, sex or study date is missing, and prior scans are identified by them"


class PatientTimeline:
    """Decides how long each series waits for its priors, and when it is compared again."""

    def __init__(self, journal: Journal, spool: Spool, node: NodeSettings, *, queries_priors: bool) -> None:
        self._journal = journal
        self._spool = spool
        self._node = node
        self._queries_priors = queries_priors
        self._salt = patient_salt(node.data_dir)
        self._opened_at = time.monotonic()
        self._changed_patients = set(journal.priors.patients()) if queries_priors else set[str]()
        self._missing: list[KnownScan] = []
        self._already_missing: set[str] = set()

    def priors_for(self, series: Series, now: float) -> Priors | None:
        """Return the priors of a quiet series; None while it waits for them, or if it needs no job."""
        acquisition = self.identify(series)
        if not self._queries_priors:
            return NOT_QUERIED
        if acquisition.role == FETCHED and any(
            result.is_ours for result in self._journal.priors.results_of(series.series_uid)
        ):
            self._journal.series.mark_done(series.series_uid)  # already analysed, and the results are stored
            return None
        if acquisition.patient_key is None:
            return Priors(search=PriorSearch.NOT_FETCHED, reason=_NOT_CERTAIN, scans=())
        # The first scan of another issuer separates patients that were taken for one.
        self._changed_patients |= self._journal.priors.keys_beside(acquisition.patient_key)
        selection = select_priors(
            self._journal.priors.scans_of(acquisition.patient_key), _day(acquisition), self._node.max_priors
        )
        if now < self.deadline(series) and (selection.open or self.is_to_be_searched(series)):
            return None
        return close_search(
            selection, self._journal.priors.search_of(series.series_uid), self._node.priors_time_limit_s
        )

    def deadline(self, series: Series) -> float:
        """Return until when a series waits for its priors (UTC, seconds since 1970).

        The limit counts from the time it was complete, or from the start of the node if that is later.
        """
        complete_at = max(series.last_arrival + self._node.quiet_period_s, CLOCK.at(self._opened_at))
        return complete_at + self._node.priors_time_limit_s

    def is_to_be_searched(self, series: Series) -> bool:
        """Whether no search for its priors has ended since its last instance arrived."""
        return self._journal.priors.search_of(series.series_uid, since=series.last_arrival) is None

    def identify(self, series: Series) -> AcquisitionRecord:
        """Return the acquisition of a series, read from the header of one of its files unless it is recorded."""
        known = self._journal.priors.acquisition(series.series_uid)
        if known is not None and known.read_at >= series.last_arrival:
            return known
        identity = self.identity_of(series.series_uid, series.sop_instance_uids)
        acquisition = AcquisitionRecord(
            series_uid=series.series_uid,
            study_uid=series.study_uid,
            patient_key=self.key_of(identity),
            person_key=self.key_of(replace(identity, issuer="")),
            acquired_on=identity.acquired_on or None,
            role=known.role if known else SENT,
            is_complete=known.is_complete if known else True,
            read_at=series.last_arrival,
        )
        self._journal.priors.record_acquisition(acquisition)
        if known is not None and known.patient_key not in (None, acquisition.patient_key) and self._queries_priors:
            self._changed_patients.add(known.patient_key)  # a corrected study: their scans were compared with this one
        return acquisition

    def identity_of(self, series_uid: str, sop_instance_uids: Sequence[str]) -> PatientIdentity:
        """Return the identity in the header of the first of these instances; UNKNOWN if the list is empty."""
        paths = self._spool.instance_paths(series_uid, sop_instance_uids[:1])
        return read_identity(paths[0]) if paths else UNKNOWN

    def key_of(self, identity: PatientIdentity) -> str | None:
        """Return the key of a patient; None if the identity is not certain."""
        return identity.patient_key(self._salt)

    def reopen_affected(self) -> None:
        """Mark the scans dirty whose priors have changed since they were queued.

        Scans are processed by date, each after all its priors are finished, so that each is repeated once, whatever
        the order of arrival.
        """
        for patient_key in sorted(self._changed_patients)[:_PATIENTS_PER_STEP]:
            if self._is_settled(self._journal.priors.scans_of(patient_key)):
                self._changed_patients.discard(patient_key)

    def pop_missing(self) -> list[KnownScan]:
        """Return, once each, the scans that must be compared again and whose files were deleted."""
        missing, self._missing = self._missing, []
        return missing

    def _is_settled(self, scans: Sequence[KnownScan]) -> bool:
        for scan in scans:
            if not scan.is_dirty and self._is_outdated(scan, scans) and self._reopen(scan):
                return False
            if scan.is_open:
                return False
        return True

    def _is_outdated(self, scan: KnownScan, scans: Sequence[KnownScan]) -> bool:
        job = scan.job
        # A running job is not interrupted: its report is available sooner. A rejected job compared nothing.
        if job is None or job.state in (JobState.RUNNING, JobState.REJECTED):
            return False
        if not self._journal.priors.was_compared(job.job_key):
            return False
        selection = select_priors(scans, scan.day, self._node.max_priors)
        current = close_search(
            selection, self._journal.priors.search_of(scan.series_uid), self._node.priors_time_limit_s
        )
        return (
            bool(job.images_sha256) and job_key(job.images_sha256, job.config_hash, key_parts(current)) != job.job_key
        )

    def _reopen(self, scan: KnownScan) -> bool:
        """Mark a scan dirty, so that it is assembled again; False if its files were deleted."""
        if self._journal.series.reopen(scan.series_uid):
            log.info("series %s is compared again: its priors have changed", scan.series_uid)
            return True
        if scan.series_uid not in self._already_missing:
            self._already_missing.add(scan.series_uid)  # retrieved again at most once
            self._missing.append(scan)
        return False


def _day(acquisition: AcquisitionRecord) -> str:
    return (acquisition.acquired_on or "")[:8]
