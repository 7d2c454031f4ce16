"""The DIMSE provider of an association: with less latency, and limits of what a peer sends."""

from __future__ import annotations

import logging
import struct
import threading
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.service_class import StorageServiceClass

from dicom_node.network.message_buffers import ArrivingDataSet, CommandSet, MessageLimits, MessageTooLong

log = logging.getLogger(__name__)

_POLL_S = 0.01
"""How long the end of an association may be noticed later."""
MAX_WAITING_MESSAGES = 16
"""A peer that sends more before they are answered is aborted: one at a time is negotiated (PS3.7 D.3.3.3)."""
_LAST_COMMAND_FRAGMENT = b"\3"
"""Message control header, PS3.8 E.2."""


class HardenedDimse(DIMSEServiceProvider):
    """A DIMSE provider in which an invalid message ends its association, not the reactor thread."""

    def __init__(self, association: Association, limits: MessageLimits) -> None:
        super().__init__(association)
        self._limits = limits
        self._arrived = threading.Event()

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Receive one P-DATA primitive."""
        try:
            self._prepare()
            super().receive_primitive(primitive)
            self._serve_store()
            if not self.msg_queue.empty():
                self._arrived.set()
            if self.msg_queue.qsize() > MAX_WAITING_MESSAGES:
                self._abort(f"more than {MAX_WAITING_MESSAGES} messages wait")
        except MessageTooLong as error:
            self._abort(str(error))
        except Exception:  # noqa: BLE001 - a peer's bytes can raise any exception in the library
            self._abort("invalid message")

    def _prepare(self) -> None:
        """Give the message that begins, or goes on, buffers with limits."""
        message = self.message
        if message is None:
            self.message = message = DIMSEMessage()
            message.encoded_command_set, message.data_set = CommandSet(), ArrivingDataSet(self._limits)
        if isinstance(message, C_STORE_RQ) and isinstance(message.data_set, ArrivingDataSet):
            message.data_set.may_be_large = True  # pynetdicom has set the class when the command set was complete

    def _abort(self, why: str) -> None:
        self.message = None  # its buffers are freed at once
        other = self.assoc.requestor if self.assoc.is_acceptor else self.assoc.acceptor
        log.warning("association of %r at %s is aborted: %s", other.ae_title.strip(), other.address, why)
        self.dul.event_queue.put("Evt19")  # PS3.8 table 9-10: unrecognised or invalid PDU

    def get_msg(self, block: bool = False) -> Any:  # noqa: ANN401 - pynetdicom's own type is private
        """Return the next message; a response only if `block`, so that the polling thread does not take it.

        The thread of an acceptor waits for a message here; pynetdicom's polls a thousand times a second.
        """
        if self.assoc.is_acceptor and self.assoc.is_established and not block:
            self._arrived.wait(_POLL_S)
            self._arrived.clear()
        _, message = self.peek_msg()
        is_response = message is not None and not message.is_valid_request
        return (None, None) if is_response and not block else super().get_msg(block)

    def send_msg(self, primitive: Any, context_id: int) -> None:  # noqa: ANN401 - any message of pynetdicom
        """Send a message; the response of a C-STORE is encoded here: as a pydicom data set it takes 0.4 ms."""
        is_plain = isinstance(primitive, C_STORE) and not (primitive.ErrorComment or primitive.OffendingElement)
        if not (is_plain and self.assoc.is_acceptor and primitive.MessageIDBeingRespondedTo is not None):
            super().send_msg(primitive, context_id)
            return
        fragment = P_DATA()
        fragment.presentation_data_value_list.append((context_id, _LAST_COMMAND_FRAGMENT + store_response(primitive)))
        self.dul.send_pdu(fragment)

    def _serve_store(self) -> None:
        """Serve a C-STORE in the thread that read it; passing it to the other one costs more than a millisecond."""
        context_id, request = self.peek_msg()
        # Until the other thread has seen the association established, a response would be lost: it serves that request.
        can_serve = self.assoc.is_acceptor and self.assoc.is_established
        if not (can_serve and isinstance(request, C_STORE) and request.is_valid_request):
            return
        context = self.assoc._accepted_cx.get(context_id or 0)
        if context is not None and super().get_msg()[1] is request:
            StorageServiceClass(self.assoc).SCP(request, context)


def store_response(response: C_STORE) -> bytes:
    """Return the command set of a C-STORE-RSP (PS3.7 table 9.3-2), which is implicit VR little endian."""
    elements = [
        (0x0002, _padded(response.AffectedSOPClassUID)),
        (0x0100, struct.pack("<H", 0x8001)),
        (0x0120, struct.pack("<H", response.MessageIDBeingRespondedTo)),
        (0x0800, struct.pack("<H", 0x0101)),  # no data set
        (0x0900, struct.pack("<H", response.Status)),
        (0x1000, _padded(response.AffectedSOPInstanceUID)),
    ]
    encoded = b"".join(struct.pack("<HHI", 0, element, len(value)) + value for element, value in elements)
    return struct.pack("<HHII", 0, 0, 4, len(encoded)) + encoded


def _padded(uid: str | None) -> bytes:
    value = (uid or "").encode("ascii")
    return value + b"\0" * (len(value) % 2)
