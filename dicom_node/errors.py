"""What can go wrong, named for what the caller must do about it.

    NodeError
    |-- SeriesRejected        final: the series cannot be analysed
    |-- UnreadableInstance    final: this object cannot be taken in
    |   `-- InvalidUid
    |-- PacsUnavailable       retried with growing pauses
    |-- PacsRefused           final for that document
    |-- SpoolFull             the sender is told (0xA700) and may try again
    |-- QueueUnavailable      retried: the reconciler rings again
    |-- JournalUnavailable    retried: the database cannot be reached, is locked or has no room
    |-- RedisNotStarted       the embedded Redis cannot run; the person who installs it must act
    |-- DataDirInUse          another `lungspread serve` has it
    |-- UnknownJob            the caller named a job that the journal does not hold
    |-- ForbiddenChange       a job may not go from this state to that one
    |-- InstancesRemoved      the received series is gone from our disk; it must be sent again
    |-- LeaseLost             another worker may have the job; what was computed is thrown away
    `-- SettingsError         the configuration is wrong; the person who wrote it must act

Messages carry UIDs, counts and limits, never names, patient IDs, dates or descriptions.
"""

# ruff: noqa: N818 - named for what the caller must do, not for being errors
from __future__ import annotations


class NodeError(Exception):
    """Root of every error that LungSpread raises around a series."""


class SeriesRejected(NodeError):
    """The series cannot be analysed, whoever tries; `reason` says why in one line."""

    def __init__(self, series_uid: str, reason: str) -> None:
        super().__init__(f"series {series_uid}: {reason}")
        self.series_uid = series_uid
        self.reason = reason


class UnreadableInstance(NodeError):
    """A received object is not what it must be to be taken in."""


class InvalidUid(UnreadableInstance):
    """A UID is not made of digits and dots, or is longer than 64 characters."""


class PacsUnavailable(NodeError):
    """The peer cannot be reached, or not now; status: what it answered, where it did."""

    def __init__(self, peer: str, why: str, status: int | None = None) -> None:
        super().__init__(f"{peer}: {why}")
        self.peer = peer
        self.why = why
        self.status = status


class PacsRefused(NodeError):
    """The peer answered a document with a failure status."""

    def __init__(self, sop_instance_uid: str, status: int) -> None:
        super().__init__(f"instance {sop_instance_uid}: refused with status 0x{status:04X}")
        self.sop_instance_uid = sop_instance_uid
        self.status = status


class SpoolFull(NodeError):
    """The disk has no room for another instance."""


class QueueUnavailable(NodeError):
    """The queue did not take the message."""


class JournalUnavailable(NodeError):
    """The journal's database does not answer."""


class RedisNotStarted(NodeError):
    """The embedded Redis server cannot run."""


class DataDirInUse(NodeError):
    """Two services must not share a data directory."""


class UnknownJob(NodeError):
    """The journal holds no job of this key."""


class ForbiddenChange(NodeError):
    """`journal.ALLOWED` does not contain this change of a job's state."""


class InstancesRemoved(NodeError):
    """The instances of a job are no longer held."""


class LeaseLost(NodeError):
    """The worker's lease on a job has ended before its work."""


class SettingsError(NodeError):
    """The configuration cannot be used; the message is one line that says what to change."""
