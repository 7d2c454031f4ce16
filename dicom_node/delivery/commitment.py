"""Data sets of storage commitment requests and reports, for both roles (PS3.4 Annex J)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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


def read_request(request: Dataset) -> tuple[str, list[Reference]]:
    """Return the Transaction UID and the references of a request.

    Raises AttributeError if one is missing, InvalidUid if a UID is not valid.
    """
    items = request.ReferencedSOPSequence
    references = [
        (checked_uid(str(item.ReferencedSOPClassUID)), checked_uid(str(item.ReferencedSOPInstanceUID)))
        for item in items
    ]
    return checked_uid(str(request.TransactionUID)), references


def verify_references(
    references: Sequence[Reference], series: SeriesJournal, spool: Spool
) -> dict[Reference, int | None]:
    """Return the Failure Reason of each reference, None if it can be committed.

    Each file is read, and its SHA-256 is compared with the journal's.
    """
    stored: dict[str, Instance] = {}
    for instance in series.instances({uid for _, uid in references}):
        stored[instance.sop_instance_uid] = instance
    return {reference: _failure(reference, stored.get(reference[1]), spool) for reference in references}


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


def _failure(reference: Reference, instance: Instance | None, spool: Spool) -> int | None:
    if instance is None:
        return NO_SUCH_INSTANCE
    if instance.sop_class_uid != reference[0]:
        return CLASS_INSTANCE_CONFLICT
    try:
        path = spool.instance_path(instance.series_uid, instance.sop_instance_uid)
        is_unchanged = data_set_sha256(path) == instance.data_set_sha256
    except (OSError, InvalidUid):
        return NO_SUCH_INSTANCE
    return None if is_unchanged else PROCESSING_FAILURE


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference
    return item


def _failed_item(reference: Reference, reason: int) -> Dataset:
    item = _item(reference)
    item.FailureReason = reason
    return item
