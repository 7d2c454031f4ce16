"""Exceptions of the node and the worker, named for what the caller must do.

    NodeError
    |-- SeriesRejected        final: the series cannot be analysed
    |-- UnreadableInstance    final: this object cannot be stored
    |   `-- InvalidUid
    |-- InstanceRefused       final: this object is readable, and must not be stored
    |   |-- OtherPatient
    |   `-- ChangedInstance
    |-- PacsUnavailable       retried with exponential backoff
    |-- PacsRefused           final for that document
    |-- SpoolFull             the sender receives status 0xA700 and may retry
    |-- QueueUnavailable      retried: the reconciler enqueues the job again
    |-- JournalUnavailable    retried: the database cannot be reached, is locked or has no space
    |   `-- JournalDamaged    not retried: a person must restore the database or start with a new one
    |-- DamagedRecord         a row of the journal is damaged; `lungspread repair` has it made again
    |-- AuditNotSent          retried: the audit record repository cannot be reached; the messages stay in the file
    |-- JournalTooNew         a newer version has upgraded the journal; install that version
    |-- RedisNotStarted       the embedded Redis cannot run; fix the installation
    |-- DataDirInUse          another `lungspread serve` uses the data directory
    |-- UnknownJob            the journal has no job with this key
    |-- UnknownPatient        the journal has no patient with this key
    |-- UnknownSeries         the journal has no series with this UID
    |-- ForbiddenChange       the job cannot change from its current state to the requested one
    |-- InstancesRemoved      the received series was deleted from disk; it must be sent again
    |-- InstancesDamaged      received files are gone or have changed on disk; they must be sent again
    |-- NewerInstances        the series has changed since the job was queued; another job follows
    |-- LeaseLost             another worker may have the job; the result is discarded
    `-- SettingsError         the configuration is wrong; correct it

Messages carry UIDs, counts and limits, never names, patient IDs, dates or descriptions.
"""

# ruff: noqa: N818 - the names say what the caller must do, so they do not end in Error
from __future__ import annotations

from collections.abc import Sequence


class NodeError(Exception):
    """Base class of all exceptions that LungSpread raises."""


class SeriesRejected(NodeError):
    """The series cannot be analysed by any worker; `reason` is one line."""

    def __init__(self, series_uid: str, reason: str) -> None:
        super().__init__(f"series {series_uid}: {reason}")
        self.series_uid = series_uid
        self.reason = reason


class UnreadableInstance(NodeError):
    """A received object cannot be read as a DICOM instance."""


class InvalidUid(UnreadableInstance):
    """A UID has characters other than digits and dots, or more than 64 characters."""


class InstanceRefused(NodeError):
    """A received object can be read, and must not be stored."""


class OtherPatient(InstanceRefused):
    """An instance names another patient than those of its series that were received before."""

    def __init__(self, sop_instance_uid: str, series_uid: str, keywords: Sequence[str]) -> None:
        different = f"{len(keywords)} elements differ: {', '.join(keywords)}"
        super().__init__(f"instance {sop_instance_uid} is of another patient than its series {series_uid}: {different}")


class ChangedInstance(InstanceRefused):
    """An instance is stored already with other content, and `node.changed_instances` is "refuse"."""


class PacsUnavailable(NodeError):
    """The peer cannot be reached or cannot serve the request now; `status` is its DICOM or HTTP status, if any."""

    def __init__(self, peer: str, why: str, status: int | None = None) -> None:
        super().__init__(f"{peer}: {why}")
        self.peer = peer
        self.why = why
        self.status = status


class PacsRefused(NodeError):
    """The peer answered the C-STORE or STOW-RS of a document with a failure status."""

    def __init__(self, sop_instance_uid: str, status: int, *, is_http: bool = False) -> None:
        text = f"HTTP status {status}" if is_http else f"status 0x{status:04X}"
        super().__init__(f"instance {sop_instance_uid}: refused with {text}")
        self.sop_instance_uid = sop_instance_uid
        self.status = status


class SpoolFull(NodeError):
    """The disk has no space for another instance."""


class QueueUnavailable(NodeError):
    """The queue did not accept the message."""


class JournalUnavailable(NodeError):
    """The journal's database does not respond."""


class AuditNotSent(NodeError):
    """The audit record repository did not receive audit messages."""


class JournalDamaged(JournalUnavailable):
    """The journal's database file is damaged, or is no database."""

    def __init__(self, fact: str) -> None:
        super().__init__(
            f"the journal is damaged ({fact}). Stop LungSpread, put a copy of the journal back or move journal.db, "
            "journal.db-wal and journal.db-shm away, and start it again: series are then recorded anew from their "
            "files in the inbox and analysed again, and their results have the same UIDs"
        )


class DamagedRecord(NodeError):
    """A row of the journal holds what its column does not allow."""


class JournalTooNew(NodeError):
    """A newer version of the software has upgraded the journal's tables."""


class RedisNotStarted(NodeError):
    """The embedded Redis server cannot run."""


class DataDirInUse(NodeError):
    """Another service already uses the data directory."""


class UnknownJob(NodeError):
    """The journal has no job with this key."""


class UnknownPatient(NodeError):
    """The journal has no patient with this key, or several whose keys begin so."""


class UnknownSeries(NodeError):
    """The journal has no series with this UID, or its instances were deleted."""


class ForbiddenChange(NodeError):
    """`journal.job_states.ALLOWED` does not contain this change of a job's state."""


class InstancesRemoved(NodeError):
    """The received instances of a job are no longer stored."""


class InstancesDamaged(NodeError):
    """Files of received instances are gone, or are not what was received."""


class NewerInstances(NodeError):
    """Instances were received anew since a job was queued, so that another job replaces it."""


class LeaseLost(NodeError):
    """The worker's lease on a job ended before the job did."""


class SettingsError(NodeError):
    """The configuration is not valid; the message is one line that says what to change."""
