"""Erases a patient: all that the data directory and the queue have of him. What a PACS has is not touched."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from dicom_node.audit.trail import AuditTrail
from dicom_node.errors import UnknownPatient
from dicom_node.journal.journal import Journal
from dicom_node.priors.patient_identity import PatientIdentity
from dicom_node.retention.folders import identity_in, study_in
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

_POLL_S = 0.2
_KEY_DIGITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """Who is erased: the keys of a patient, or an ID with its issuer (empty: any) as it stands in headers."""

    keys: frozenset[str] = frozenset()
    patient_id: str = field(default="", repr=False)
    issuer: str = field(default="", repr=False)

    def is_described_by(self, identity: PatientIdentity, salt: bytes) -> bool:
        """Whether a header is of this patient."""
        if self.patient_id and identity.patient_id == self.patient_id:
            return not (self.issuer and identity.issuer and self.issuer != identity.issuer)
        return identity.patient_key(salt) in self.keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that is stored or recorded of a patient: UIDs of studies and series, keys of jobs."""

    study_uids: frozenset[str]
    series_uids: frozenset[str]
    job_keys: frozenset[str]
    undelivered: int
    """Number of jobs whose results no peer has yet."""
    patient_id: str = field(default="", repr=False)
    """As it stands in the files; empty if there are none any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Eraser:
    """Erases patients. salt: of their keys. forget_messages: removes the messages of jobs from the queue.

    audit: keeps which studies were erased, as it must.
    """

    journal: Journal
    spool: Spool
    audit: AuditTrail
    salt: bytes
    forget_messages: Callable[[Collection[str]], object]
    worker_time_limit_s: float = 120.0
    """How long a worker may take to notice that its job is gone."""

    def patient(self, key_prefix: str) -> Patient:
        """Return the patient whose key begins so; a whole key need not be known. Raises UnknownPatient."""
        known = [key for key in self.journal.priors.patients() if key.startswith(key_prefix)]
        if len(known) == 1:
            return Patient(keys=frozenset(self.journal.priors.keys_of(known[0])))
        if len(key_prefix) == _KEY_DIGITS and not known:
            return Patient(keys=frozenset({key_prefix}))
        raise UnknownPatient(f"{len(known)} patient keys begin so, one is needed")

    def find(self, patient: Patient) -> Found:
        """Return what there is of a patient; a series whose header names nobody goes with its study."""
        of_series = {uid: identity_in(self.spool.inbox / uid) for uid in self.spool.series_uids()}
        of_jobs = {key: identity_in(self.spool.outbox / key) for key in self.spool.results_written_at()}
        own = {
            name: found for name, found in (of_series | of_jobs).items() if patient.is_described_by(found, self.salt)
        }
        keys = {*patient.keys, *(identity.patient_key(self.salt) for identity in own.values())}
        jobs = self.journal.erasure.series_of_jobs()
        series_uids = own.keys() & of_series.keys() | {jobs[key] for key in own.keys() & jobs.keys()}
        series_uids |= self.journal.erasure.series_of_patients({key for key in keys if key})
        beside = self.journal.erasure.series_beside(series_uids) - series_uids
        series_uids |= {uid for uid in beside if uid not in of_series or not of_series[uid].patient_id}
        job_keys = {key for key, uid in jobs.items() if uid in series_uids} | (own.keys() & of_jobs.keys())
        folders = [self.spool.inbox / uid for uid in series_uids] + [self.spool.outbox / key for key in job_keys]
        studies = self.journal.erasure.studies_of(series_uids) | {study_in(folder) for folder in folders}
        waiting = self.journal.stored.all(has_destinations=True, with_backfill=False).jobs
        return Found(
            study_uids=frozenset(studies - {""}),
            series_uids=frozenset(series_uids),
            job_keys=frozenset(job_keys),
            undelivered=sum(job.is_owed and job.job_key in job_keys for job in waiting),
            patient_id=next((identity.patient_id for identity in own.values()), ""),
        )

    def erase(self, found: Found) -> dict[str, int]:
        """Erase what was found, and return the numbers of series, results and rows. It can be repeated after a crash.

        The rows go first, so that no worker can record a result any more; one that is at work notices it, and ends.
        It is audited before: after a crash in between nothing would name the studies any more.
        """
        for study_uid in sorted(found.study_uids):
            self.audit.deleted(study_uid, "lungspread erase", found.patient_id)
        rows = self.journal.erasure.delete(found.series_uids)
        self.forget_messages(found.job_keys)
        self._wait_for_workers(found.job_keys)
        for series_uid in found.series_uids:
            self.spool.remove_series(series_uid)
        for job_key in found.job_keys:
            self.spool.remove_results(job_key)
        self.journal.database.overwrite_deleted()
        counts = {"series": len(found.series_uids), "jobs": len(found.job_keys), "rows": sum(rows.values())}
        log.warning(
            "a patient was erased: %d series, %d jobs (%d not delivered), %d rows",
            counts["series"], counts["jobs"], found.undelivered, counts["rows"],
        )  # fmt: skip
        return counts

    def _wait_for_workers(self, job_keys: Collection[str]) -> None:
        until = time.monotonic() + self.worker_time_limit_s
        while time.monotonic() < until and any(any(self.spool.outbox.glob(f".{key}.*")) for key in job_keys):
            time.sleep(_POLL_S)
