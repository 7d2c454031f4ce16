"""STOW-RS (PS3.18 10.5): each instance is on disk before the request is answered, as by C-STORE."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dicom_node.audit.message import Participant
from dicom_node.dicomweb.access import Access
from dicom_node.dicomweb.dicom_json import DicomJsonResponse, encode
from dicom_node.dicomweb.request_body import BodyLimits, EarlyEnd, RequestSlots, read_parts
from dicom_node.dicomweb.store_report import UNAVAILABLE, StoredPart, http_status, response_module
from dicom_node.errors import UnreadableInstance
from dicom_node.network.contexts import storage_syntaxes
from dicom_node.network.multipart import MOST_INSTANCE_BYTES, Part
from dicom_node.network.status import (
    CANNOT_UNDERSTAND,
    OUT_OF_RESOURCES,
    SOP_CLASS_NOT_SUPPORTED,
    SUCCESS,
    TRANSFER_SYNTAX_NOT_SUPPORTED,
)
from dicom_node.network.store_status import refuse, store
from dicom_node.series import Instance
from dicom_node.settings import Peer
from dicom_node.storage.dataset_header import read_header
from dicom_node.storage.receiver import InstanceReceiver, ReceivedInstance, received_file

log = logging.getLogger(__name__)

_RETRY_AFTER_S = "60"
_SERVICE = "STOW-RS"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreService:
    """Receives series from peers that may send."""

    access: Access
    receiver: InstanceReceiver
    limits: BodyLimits
    slots: RequestSlots

    async def store(self, request: Request) -> Response:
        """Answer POST /studies and POST /studies/{study}."""
        peer = self.access.require(request, lambda peer: peer.may_send)
        with self.slots.taken():
            return await self._store(request, peer)

    async def _store(self, request: Request, peer: Peer) -> Response:
        sender, study_uid = self.access.participant(request, peer), request.path_params.get("study", "")
        parts = list[StoredPart]()
        try:
            async for part in read_parts(request, self.limits):
                parts.append(await run_in_threadpool(self._keep, part, peer, sender, study_uid))
        except EarlyEnd as end:
            log.warning("STOW-RS from %s ended after %d parts: %s", peer.name, len(parts), end)
            if not any(part.status == SUCCESS for part in parts):
                raise HTTPException(end.http_status, str(end)) from None
            parts.append(StoredPart(status=CANNOT_UNDERSTAND))
        return _answer(parts, peer)

    def _keep(self, part: Part, peer: Peer, sender: Participant, study_uid: str) -> StoredPart:
        audit = self.access.audit
        if part.is_too_long:
            why = f"an instance of more than {MOST_INSTANCE_BYTES} bytes"
            refuse(OUT_OF_RESOURCES, why, _SERVICE, sender, audit, level=logging.ERROR)
            return StoredPart(status=OUT_OF_RESOURCES)
        try:
            received = received_file(part.content, peer.ae_title, is_fetched=False)
        except UnreadableInstance as error:
            refuse(CANNOT_UNDERSTAND, str(error), _SERVICE, sender, audit)
            return StoredPart(status=CANNOT_UNDERSTAND)
        status = _refusal(received, peer)
        if status is not None:
            refuse(status, f"instance {received.sop_instance_uid}", _SERVICE, sender, audit)
        else:
            status = store(lambda: self._keep_of_study(received, study_uid), _SERVICE, sender, audit)
        return StoredPart(
            sop_class_uid=received.sop_class_uid, sop_instance_uid=received.sop_instance_uid, status=status
        )

    def _keep_of_study(self, received: ReceivedInstance, study_uid: str) -> Instance | None:
        if study_uid and read_header(received.encoded, received.transfer_syntax_uid).study_uid != study_uid:
            return None
        return self.receiver.keep(received)


def _refusal(received: ReceivedInstance, peer: Peer) -> int | None:
    """Return what C-STORE decides when a presentation context is negotiated; None if the instance is accepted."""
    accepted = storage_syntaxes(peer)
    if received.sop_class_uid not in accepted:
        return SOP_CLASS_NOT_SUPPORTED
    if received.transfer_syntax_uid not in accepted[received.sop_class_uid]:
        return TRANSFER_SYNTAX_NOT_SUPPORTED
    return None


def _answer(parts: Sequence[StoredPart], peer: Peer) -> Response:
    if not parts:
        raise HTTPException(400, "the body has no instance")
    status = http_status(parts)
    stored = sum(part.status == SUCCESS for part in parts)
    log.info("STOW-RS from %s answered %d: %d of %d instances stored", peer.name, status, stored, len(parts))
    headers = {"Retry-After": _RETRY_AFTER_S} if status == UNAVAILABLE else {}
    return DicomJsonResponse(encode(response_module(parts)), status, headers)
