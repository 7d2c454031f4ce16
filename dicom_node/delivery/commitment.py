"""Data sets of storage commitment requests and reports, for both roles (PS3.4 Annex J)."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_node.errors import InvalidUid
from dicom_node.journal.commitments import Reference
from dicom_node.journal.series import SeriesJournal
from dicom_node.series import Instance
from dicom_node.storage.content import data_set_sha256
from dicom_node.storage.spool import Spool, checked_uid

REQUEST_COMMITMENT = 1
"""Action Type ID, PS3.4 table J.3-1."""
ALL_COMMITTED, FAILURES_EXIST = 1, 2
"""Event Type IDs, PS3.4 J.3.3.1.1."""
PROCESSING_FAILURE, NO_SUCH_INSTANCE, CLASS_INSTANCE_CONFLICT = 0x0110, 0x0112, 0x0119
"""Failure Reasons, PS3.3 C.14.1.1."""
MAX_OPEN_REQUESTS = 5000
"""Most requests of one peer that wait for their reports; further ones are answered with a failure."""
MAX_REQUESTED = 5000
"""Most references of one request of a peer."""
_VERIFIED_FOR_S = 300.0
_MAX_VERIFIED = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReport:
    """The result of a storage commitment request. failed: the reason by SOP Instance UID."""

    transaction_uid: str
    committed: frozenset[str]
    failed: Mapping[str, str] = field(default_factory=dict)


# -- SCU: our requests, the peer's reports --


def request_dataset(transaction_uid: str, references: Sequence[Reference]) -> Dataset:
    """Return the action information of a request (PS3.4 table J.3-1)."""
    request = Dataset()
    request.TransactionUID = transaction_uid
    request.ReferencedSOPSequence = [_item(reference) for reference in references]
    return request


def read_report(report: Dataset) -> CommitmentReport:
    """Return the report in event information (PS3.4 table J.3-2). Raises AttributeError if an attribute is missing."""
    return CommitmentReport(
        transaction_uid=str(report.TransactionUID),
        committed=frozenset(str(item.ReferencedSOPInstanceUID) for item in report.get("ReferencedSOPSequence") or ()),
        failed={
            str(item.ReferencedSOPInstanceUID): f"commitment failed, reason 0x{int(item.FailureReason):04X}"
            for item in report.get("FailedSOPSequence") or ()
        },
    )


# -- SCP: the peer's requests, our reports --


class CommitmentLimit(Exception):  # noqa: N818 - a fact about the request, no error of ours
    """A peer requests the commitment of more than we keep in mind."""


def read_request(request: Dataset) -> tuple[str, list[Reference]]:
    """Return the Transaction UID and the references of a request.

    Raises AttributeError if one is missing, InvalidUid if a UID is not valid, CommitmentLimit.
    """
    items = request.ReferencedSOPSequence
    if len(items) > MAX_REQUESTED:
        raise CommitmentLimit(f"{len(items)} references, at most {MAX_REQUESTED} are accepted")
    references = [
        (checked_uid(str(item.ReferencedSOPClassUID)), checked_uid(str(item.ReferencedSOPInstanceUID)))
        for item in items
    ]
    return checked_uid(str(request.TransactionUID)), references


class VerifiedFiles:
    """Files whose data set had the right SHA-256: for five minutes, one that has not changed is not read again.

    A peer may ask for the same instances again and again; each would be read from the disk each time.
    """

    def __init__(self) -> None:
        self._verified_at: dict[tuple[Path, int, int, int], float] = {}

    def is_unchanged(self, path: Path, sha256: str) -> bool:
        """Whether the data set of a file has this SHA-256. Raises OSError."""
        found, now = path.stat(), time.monotonic()
        key = (path, found.st_ino, found.st_size, found.st_mtime_ns)
        if now - self._verified_at.get(key, -math.inf) < _VERIFIED_FOR_S:
            return True
        if data_set_sha256(path) != sha256:
            return False
        if len(self._verified_at) >= _MAX_VERIFIED:
            self._verified_at.clear()
        self._verified_at[key] = now
        return True


def verify_references(
    references: Sequence[Reference], series: SeriesJournal, spool: Spool, verified: VerifiedFiles
) -> dict[Reference, int | None]:
    """Return the Failure Reason of each reference, None if it can be committed.

    Each file is read, and its SHA-256 is compared with the journal's.
    """
    stored: dict[str, Instance] = {}
    for instance in series.instances({uid for _, uid in references}):
        stored[instance.sop_instance_uid] = instance
    return {reference: _failure(reference, stored.get(reference[1]), spool, verified) for reference in references}


def report_dataset(transaction_uid: str, failures: Mapping[Reference, int | None]) -> tuple[int, Dataset]:
    """Return the Event Type ID and event information of a report (PS3.4 table J.3-2)."""
    report = Dataset()
    report.TransactionUID = transaction_uid
    committed = [_item(reference) for reference, reason in failures.items() if reason is None]
    failed = [_failed_item(reference, reason) for reference, reason in failures.items() if reason is not None]
    if committed:
        report.ReferencedSOPSequence = committed
    if failed:
        report.FailedSOPSequence = failed
    return (FAILURES_EXIST if failed else ALL_COMMITTED), report


def _failure(reference: Reference, instance: Instance | None, spool: Spool, verified: VerifiedFiles) -> int | None:
    if instance is None:
        return NO_SUCH_INSTANCE
    if instance.sop_class_uid != reference[0]:
        return CLASS_INSTANCE_CONFLICT
    try:
        path = spool.instance_path(instance.series_uid, instance.sop_instance_uid)
        return None if verified.is_unchanged(path, instance.data_set_sha256) else PROCESSING_FAILURE
    except (OSError, InvalidUid):
        return NO_SUCH_INSTANCE


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference
    return item


def _failed_item(reference: Reference, reason: int) -> Dataset:
    item = _item(reference)
    item.FailureReason = reason
    return item
