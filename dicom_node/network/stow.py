"""STOW-RS client (PS3.18 10.5): sends result documents to a peer, one in a request.

dicomweb-client is not used here: it encodes the documents anew, and does not return the HTTP status.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests
from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from dicom_node.errors import PacsRefused, PacsUnavailable, UnreadableInstance
from dicom_node.network.http_session import open_session
from dicom_node.network.scu import MIN_BYTES_PER_S, StoreOutcome
from dicom_node.network.status import RETRYABLE
from dicom_node.settings import NodeSettings, Peer

log = logging.getLogger(__name__)

_ANSWERED = (200, 202, 409)
"""PS3.18 table 10.5.3-1: the body says what became of each instance."""
_REFUSED = (400, 406, 413, 415, 422)
"""The same request will be refused again. Others may change: a wrong token, an archive that is busy or restarted."""
_ALREADY_STORED = (0x0111, 45070)
"""PS3.7 C.5.6, Duplicate SOP Instance; 45070 is Microsoft's. Our UIDs stand for their content, so it is there."""


class StowClient:
    """The STOW-RS service of one peer."""

    def __init__(self, peer: Peer, node: NodeSettings) -> None:
        self.peer = peer
        self._node = node
        self._studies_url = f"{peer.dicomweb_url.rstrip('/')}/studies"
        self._aborted = threading.Event()

    def abort(self) -> None:
        """Send no further document; the one that is being sent is ended by its timeout only."""
        self._aborted.set()

    def probe(self) -> int:
        """Return the HTTP status of a search for no patient. Raises PacsUnavailable if the peer does not answer."""
        query = {"PatientID": "LUNGSPREAD-DOCTOR", "limit": "1"}
        timeouts = (self._node.connect_timeout_s, self._node.network_timeout_s)
        with open_session(self.peer) as session, self._translate_errors():
            return session.get(self._studies_url, params=query, timeout=timeouts).status_code

    def store(self, paths: Sequence[Path]) -> Iterator[StoreOutcome]:
        """Send each file in a request of its own, and yield each outcome.

        Raises PacsUnavailable if the peer cannot store (more) now; the outcomes yielded before are final.
        """
        self._aborted.clear()
        with open_session(self.peer) as session:  # a new one: an idle connection may have been closed by the peer
            for path in paths:
                if self._aborted.is_set():
                    raise PacsUnavailable(self.peer.name, "STOW-RS: aborted by us")
                yield self._store_one(session, path)

    def _store_one(self, session: requests.Session, path: Path) -> StoreOutcome:
        try:
            uid = str(dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True).SOPInstanceUID)
            file = path.read_bytes()
        except (InvalidDicomError, AttributeError, OSError):
            error = UnreadableInstance("the file cannot be read or is not DICOM")
            return StoreOutcome(path=path, sop_instance_uid="", error=error)
        status, body = self._post(session, file)
        return StoreOutcome(path=path, sop_instance_uid=uid, error=read_answer(self.peer.name, uid, status, body))

    def _post(self, session: requests.Session, file: bytes) -> tuple[int, bytes]:
        """Return HTTP status and body of the answer. Raises PacsUnavailable."""
        boundary = secrets.token_hex(16)
        start = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii")
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Accept": "application/dicom+json",
        }
        body = b"".join([start, file, f"\r\n--{boundary}--\r\n".encode("ascii")])
        timeout_s = self._node.network_timeout_s + len(body) / MIN_BYTES_PER_S
        with self._translate_errors():
            # Without redirections: requests would follow them with a GET, whose success says nothing.
            answer = session.post(
                self._studies_url,
                data=body,
                headers=headers,
                timeout=(self._node.connect_timeout_s, timeout_s),
                allow_redirects=False,
            )
        return answer.status_code, answer.content

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except requests.RequestException as error:
            raise PacsUnavailable(self.peer.name, f"STOW-RS: {type(error).__name__}") from None


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
        if warning := stored.get("WarningReason"):
            log.warning("instance %s: %s stored it with warning 0x%04X", sop_instance_uid, peer, int(warning))
        return None
    reason = None if failed is None else failed.get("FailureReason")
    if reason is None:
        raise PacsUnavailable(peer, f"STOW-RS: HTTP status {status}, and no DICOM JSON on the instance", status)
    if int(reason) in _ALREADY_STORED:
        return None
    if int(reason) in RETRYABLE:
        raise PacsUnavailable(peer, f"STOW-RS: status 0x{int(reason):04X}", int(reason))
    return PacsRefused(sop_instance_uid, int(reason))


def _module(body: bytes) -> Dataset:
    """Return the Store Instances Response Module; an empty one if the body has none."""
    try:
        content = json.loads(body)
        return Dataset.from_json(content[0] if isinstance(content, list) else content)
    except (ValueError, TypeError, KeyError, LookupError, AttributeError):
        return Dataset()


def _item(module: Dataset, keyword: str, sop_instance_uid: str) -> Dataset | None:
    items = module.get(keyword) or ()
    return next((item for item in items if item.get("ReferencedSOPInstanceUID") == sop_instance_uid), None)
