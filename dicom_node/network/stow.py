"""STOW-RS client (PS3.18 10.5): sends result documents to a peer, one in a request, as they are on the disk."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from dicom_node.dicom_file import DAMAGE
from dicom_node.errors import PacsRefused, PacsUnavailable, UnreadableInstance
from dicom_node.network.http_session import HttpRequest, HttpSession
from dicom_node.network.media_types import DICOM, DICOM_JSON
from dicom_node.network.multipart import new_boundary, read_file, write_parts
from dicom_node.network.scu import StoreOutcome
from dicom_node.network.status import RETRYABLE
from dicom_node.settings import NodeSettings, Peer

log = logging.getLogger(__name__)

_ANSWERED = (200, 202, 409)
"""PS3.18 table 10.5.3-1: the body says what became of each instance."""
_REFUSED = (400, 406, 413, 415, 422)
"""The same request will be refused again. Others may change: a wrong token, an archive that is busy or restarted."""
_PROBE = "/studies?PatientID=LUNGSPREAD-DOCTOR&limit=1"
_ALREADY_STORED = (0x0111, 45070)
"""PS3.7 C.5.6, Duplicate SOP Instance; 45070 is Microsoft's. Our UIDs stand for their content, so it is there."""


class StowClient:
    """The STOW-RS service of one peer."""

    def __init__(self, peer: Peer, node: NodeSettings) -> None:
        """Raises SettingsError if the peer's URL, certificates or key cannot be used."""
        self.peer = peer
        self._session = HttpSession(peer, node)
        self._aborted = threading.Event()

    def abort(self) -> None:
        """End the current request, and send no further document."""
        self._aborted.set()
        self._session.abort()

    def probe(self) -> int:
        """Return the HTTP status of a search for no patient. Raises PacsUnavailable if the peer does not answer."""
        with self._session.exchange("STOW-RS", HttpRequest(path=_PROBE)) as answer:
            return answer.status

    def store(self, paths: Sequence[Path]) -> Iterator[StoreOutcome]:
        """Send each file in a request of its own, and yield each outcome.

        Raises PacsUnavailable if the peer cannot store (more) now; the outcomes yielded before are final.
        """
        self._aborted.clear()
        for path in paths:
            if self._aborted.is_set():
                raise PacsUnavailable(self.peer.name, "STOW-RS: aborted by us")
            yield self._store_one(path)

    def _store_one(self, path: Path) -> StoreOutcome:
        try:
            uid = str(dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True).SOPInstanceUID)
            request = _store_request(path)
        except (InvalidDicomError, AttributeError, OSError):
            error = UnreadableInstance("the file cannot be read or is not DICOM")
            return StoreOutcome(path=path, sop_instance_uid="", error=error)
        with self._session.exchange("STOW-RS", request) as answer:
            refused = read_answer(self.peer.name, uid, answer.status, answer.read())
        return StoreOutcome(path=path, sop_instance_uid=uid, error=refused)


def _store_request(path: Path) -> HttpRequest:
    """Return the request that sends a file, which is read while it is sent. Raises OSError."""
    boundary = new_boundary()
    around = sum(map(len, write_parts([iter(())], boundary, DICOM)))
    return HttpRequest(
        method="POST",
        path="/studies",
        headers={
            "Content-Type": f'multipart/related; type="{DICOM}"; boundary={boundary}',
            "Accept": DICOM_JSON,
        },
        body=write_parts([read_file(path)], boundary, DICOM),
        length=around + path.stat().st_size,
    )


def read_answer(peer: str, sop_instance_uid: str, status: int, body: bytes) -> PacsRefused | None:
    """Return why the peer refuses a document for good; None if it has stored it.

    It has stored it only if the body says so: another server's login page may be answered with 200, too.
    Raises PacsUnavailable if it is to be sent again.
    """
    if status in _REFUSED:
        return PacsRefused(sop_instance_uid, status, is_http=True)
    if status not in _ANSWERED:
        raise PacsUnavailable(peer, f"STOW-RS: HTTP status {status}", status)
    module = _module(body)
    stored, failed = (_item(module, name, sop_instance_uid) for name in ("ReferencedSOPSequence", "FailedSOPSequence"))
    if stored is not None:
        if warning := _reason(stored, "WarningReason"):
            log.warning("instance %s: %s stored it with warning 0x%04X", sop_instance_uid, peer, warning)
        return None
    reason = None if failed is None else _reason(failed, "FailureReason")
    if reason is None:
        raise PacsUnavailable(peer, f"STOW-RS: HTTP status {status}, and no DICOM JSON on the instance", status)
    if reason in _ALREADY_STORED:
        return None
    if reason in RETRYABLE:
        raise PacsUnavailable(peer, f"STOW-RS: status 0x{reason:04X}", reason)
    return PacsRefused(sop_instance_uid, reason)


def _module(body: bytes) -> Dataset:
    """Return the Store Instances Response Module; an empty one if the body has none."""
    try:
        content = json.loads(body)
        return Dataset.from_json(content[0] if isinstance(content, list) else content)
    except DAMAGE:
        return Dataset()


def _item(module: Dataset, keyword: str, sop_instance_uid: str) -> Dataset | None:
    items = [item for item in module.get(keyword) or () if isinstance(item, Dataset)]
    return next((item for item in items if item.get("ReferencedSOPInstanceUID") == sop_instance_uid), None)


def _reason(item: Dataset, keyword: str) -> int | None:
    reason = item.get(keyword)
    return reason if isinstance(reason, int) else None
