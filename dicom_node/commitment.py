"""Storage commitment in both roles, as data: what a request names, what a report says (PS3.4 Annex J). No network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from dicom_node.journal import Journal

NO_SUCH_OBJECT_INSTANCE = 0x0112
"""Failure Reason, PS3.3 C.14.1.1."""
ALL_COMMITTED, FAILURES_EXIST = 1, 2
"""Event Type IDs, PS3.4 J.3.3.1.1."""

Reference = tuple[str, str]
"""SOP class UID and SOP instance UID."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReport:
    """What became of a request. failed: the reason by SOP instance UID."""

    transaction_uid: str
    committed: frozenset[str]
    failed: Mapping[str, str] = field(default_factory=dict)


def request_dataset(transaction_uid: str, references: Sequence[Reference]) -> Dataset:
    """Return the action information of a request (PS3.4 table J.3-1)."""
    request = Dataset()
    request.TransactionUID = transaction_uid
    request.ReferencedSOPSequence = [_item(reference) for reference in references]
    return request


def read_request(request: Dataset) -> tuple[str, list[Reference]]:
    """Return the Transaction UID and the references of a request. Raises AttributeError when one is missing."""
    references = [
        (str(i.ReferencedSOPClassUID), str(i.ReferencedSOPInstanceUID)) for i in request.ReferencedSOPSequence
    ]
    return str(request.TransactionUID), references


def read_report(report: Dataset) -> CommitmentReport:
    """Read the event information of a report (PS3.4 table J.3-2). Raises AttributeError when it is not one."""
    return CommitmentReport(
        transaction_uid=str(report.TransactionUID),
        committed=frozenset(str(item.ReferencedSOPInstanceUID) for item in report.get("ReferencedSOPSequence", [])),
        failed={
            str(item.ReferencedSOPInstanceUID): f"commitment failed, reason 0x{int(item.FailureReason):04X}"
            for item in report.get("FailedSOPSequence", [])
        },
    )


def answer(request: Dataset, journal: Journal) -> tuple[int, Dataset]:
    """Return event type and event information for a request about what we received: the journal knows what we hold."""
    transaction_uid, references = read_request(request)
    held = journal.has_instances({uid for _, uid in references})
    report = Dataset()
    report.TransactionUID = transaction_uid
    kept = [_item(reference) for reference in references if reference[1] in held]
    failed = [_item(reference) for reference in references if reference[1] not in held]
    for item in failed:
        item.FailureReason = NO_SUCH_OBJECT_INSTANCE
    if kept:
        report.ReferencedSOPSequence = kept
    if failed:
        report.FailedSOPSequence = failed
    return (FAILURES_EXIST if failed else ALL_COMMITTED), report


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = reference
    return item
