"""The answer to a STOW-RS request: HTTP status and Store Instances Response Module (PS3.18 10.5.3, Annex I)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pydicom import Dataset

from dicom_node.network.status import OUT_OF_RESOURCES, SUCCESS

OK, ACCEPTED, CONFLICT, UNAVAILABLE = 200, 202, 409, 503


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """What became of one part of a request. The UIDs are empty if it cannot be read."""

    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    status: int
    """SUCCESS, or the Failure Reason (PS3.18 table I.2-2)."""


def http_status(parts: Sequence[StoredPart]) -> int:
    """Return the HTTP status of a request that was read to its end."""
    failures = [part.status for part in parts if part.status != SUCCESS]
    if len(failures) < len(parts):
        return ACCEPTED if failures else OK
    # The same instances may be stored later: the sender is told to try again.
    return UNAVAILABLE if set(failures) == {OUT_OF_RESOURCES} else CONFLICT


def response_module(parts: Sequence[StoredPart]) -> Dataset:
    """Return the Store Instances Response Module. Received series cannot be retrieved, so its URLs are empty."""
    module = Dataset()
    module.RetrieveURL = None
    stored = [_reference(part) for part in parts if part.status == SUCCESS]
    failed = [_failure(part) for part in parts if part.status != SUCCESS and part.sop_instance_uid]
    others = [_failure(part) for part in parts if part.status != SUCCESS and not part.sop_instance_uid]
    if stored:
        module.ReferencedSOPSequence = stored
    if failed:
        module.FailedSOPSequence = failed
    if others:
        module.OtherFailuresSequence = others
    return module


def _reference(part: StoredPart) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = part.sop_class_uid, part.sop_instance_uid
    item.RetrieveURL = None
    return item


def _failure(part: StoredPart) -> Dataset:
    item = Dataset()
    if part.sop_instance_uid:
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = part.sop_class_uid, part.sop_instance_uid
    item.FailureReason = part.status
    return item
