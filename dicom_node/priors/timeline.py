"""A patient's scans over time, as far as they are known here: what a new one is compared with, and which ones anew.

Asks no peer: `search.py` does, and both meet in the journal.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from dicom_node.jobs import JobState, job_key
from dicom_node.journal.journal import Journal
from dicom_node.journal.priors import FETCHED, SENT, Acquisition
from dicom_node.prior import NOT_QUERIED, KnownScan, Priors, PriorSearch, choose, conclude, key_parts
from dicom_node.priors.patient_identity import UNKNOWN, Identity, read_identity
from dicom_node.series import Series
from dicom_node.settings import NodeSettings
from dicom_node.storage.spool import Spool, patient_salt

log = logging.getLogger(__name__)

_PATIENTS_AT_ONCE = 20
_NOT_CERTAIN = "the series does not tell patient ID, birth date, sex and study date, which earlier scans are known by"


class PatientTimeline:
    """Decides for each series when it need not wait any longer, and when it is to be compared again."""

    def __init__(self, journal: Journal, spool: Spool, node: NodeSettings, *, asks: bool) -> None:
        self._journal = journal
        self._spool = spool
        self._node = node
        self._asks = asks
        self._salt = patient_salt(node.data_dir)
        self._opened_at = time.time()
        self._unsettled = set(journal.patients()) if asks else set[str]()
        self._missing: list[KnownScan] = []
        self._given_up: set[str] = set()

    def priors_for(self, series: Series, now: float) -> Priors | None:
        """Return what a quiet series is compared with; None while it waits for that, or needs no job at all."""
        acquisition = self.identify(series)
        if not self._asks:
            return NOT_QUERIED
        if acquisition.role == FETCHED and any(
            result.is_ours for result in self._journal.results_of(series.series_uid)
        ):
            self._journal.leave(series.series_uid)  # analysed before, and the results are here
            return None
        if acquisition.patient_key is None:
            return Priors(search=PriorSearch.NOT_FETCHED, reason=_NOT_CERTAIN, scans=())
        self._unsettled.add(acquisition.patient_key)
        choice = choose(self._journal.scans_of(acquisition.patient_key), _day(acquisition), self._node.max_priors)
        if now < self.deadline(series) and (choice.open or self.is_to_be_searched(series)):
            return None
        return conclude(choice, self._journal.search_of(series.series_uid), self._node.priors_time_limit_s)

    def deadline(self, series: Series) -> float:
        """Return until when a series waits: it was complete, or we were back, so long ago."""
        complete_at = max(series.last_arrival + self._node.quiet_period_s, self._opened_at)
        return complete_at + self._node.priors_time_limit_s

    def is_to_be_searched(self, series: Series) -> bool:
        """Whether no search for its priors has ended since the series was complete."""
        return self._journal.search_of(series.series_uid, since=series.last_arrival) is None

    def identify(self, series: Series) -> Acquisition:
        """Return whose a series is, from the header of one of its files unless that is known."""
        known = self._journal.acquisition(series.series_uid)
        if known is not None and known.read_at >= series.last_arrival:
            return known
        identity = self.identity_of(series.series_uid, series.sop_instance_uids)
        acquisition = Acquisition(
            series_uid=series.series_uid,
            study_uid=series.study_uid,
            patient_key=self.key_of(identity),
            acquired_on=identity.acquired_on or None,
            role=known.role if known else SENT,
            is_complete=known.is_complete if known else True,
            read_at=series.last_arrival,
        )
        self._journal.record_acquisition(acquisition)
        return acquisition

    def identity_of(self, series_uid: str, sop_instance_uids: Sequence[str]) -> Identity:
        """Return the identity in the header of the first of these instances; UNKNOWN when there is none."""
        paths = self._spool.instance_paths(series_uid, sop_instance_uids[:1])
        return read_identity(paths[0]) if paths else UNKNOWN

    def key_of(self, identity: Identity) -> str | None:
        """Return the key that stands for a person; None when the identity is not certain."""
        return identity.patient_key(self._salt)

    def reopen_affected(self) -> None:
        """Have the scans compared again whose earlier scans are others now than when they were queued.

        By date, and none before all earlier ones are done: so each is made again once, and the last round changes
        nothing, in whatever order they came.
        """
        for patient_key in sorted(self._unsettled)[:_PATIENTS_AT_ONCE]:
            if self._is_settled(self._journal.scans_of(patient_key)):
                self._unsettled.discard(patient_key)

    def take_missing(self) -> list[KnownScan]:
        """Return the scans that must be compared again and whose files are not held any more, each once."""
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
        # A running job is let finish: its report is the sooner one. A rejected one compared nothing.
        if job is None or job.state in (JobState.RUNNING, JobState.REJECTED):
            return False
        if self._journal.priors_of(job.job_key).search is PriorSearch.NOT_QUERIED:
            return False
        choice = choose(scans, scan.day, self._node.max_priors)
        now = conclude(choice, self._journal.search_of(scan.series_uid), self._node.priors_time_limit_s)
        return job_key(job.sop_instance_uids, job.config_hash, key_parts(now)) != job.job_key

    def _reopen(self, scan: KnownScan) -> bool:
        """Have a scan assembled again; False when that cannot be."""
        if self._journal.reopen(scan.series_uid):
            log.info("series %s is compared again: its earlier scans have changed", scan.series_uid)
            return True
        if scan.series_uid not in self._given_up:
            self._given_up.add(scan.series_uid)  # it is looked for once
            self._missing.append(scan)
        return False


def _day(acquisition: Acquisition) -> str:
    return (acquisition.acquired_on or "")[:8]
