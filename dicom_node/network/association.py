"""Associations for both roles: pynetdicom classes with less latency, time limits and length limits."""

from __future__ import annotations

import contextlib
import queue
import select
import struct
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.presentation import PresentationContext
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.transport import AddressInformation, AssociationSocket, RequestHandler

from dicom_node.errors import PacsUnavailable
from dicom_node.network.status import MAXIMUM_PDU_LENGTH, abort, configure_socket
from dicom_node.settings import NodeSettings, Peer

MAX_PDU_BYTES = 1 << 22
"""A longer PDU ends its association."""
MAX_REQUEST_BYTES = 1 << 18
"""Enough for 128 presentation contexts of thirty transfer syntaxes each; decoding a longer PDU takes too long."""
_SELECT_TIMEOUT_S = 0.005
_POLL_S = 0.01
"""How long the end of an association may be noticed later."""


_HEADER_BYTES, _ASSOCIATE_RQ, _AE_TITLES = 6, 0x01, slice(4, 36)
"""PS3.8 9.3.2: bytes before the body of a PDU, type of an A-ASSOCIATE-RQ, and both titles in its body."""
_LAST_COMMAND_FRAGMENT = b"\3"
"""Message control header, PS3.8 E.2."""


class NoAcceptedContext(PacsUnavailable):
    """The peer accepted none of the presentation contexts."""


class BufferedSocket(AssociationSocket):
    """A socket that reads a PDU in few calls, and limits its length and the time that it takes."""

    _pdu_type: int | None = None
    """Of the PDU whose header was read last, while its body is not."""

    @property
    def ready(self) -> bool:
        """Whether data can be read; the acceptor waits in select() where pynetdicom sleeps and polls."""
        is_ready: bool = super().ready
        if is_ready or not self.assoc.is_acceptor or self.socket is None:
            return is_ready
        with contextlib.suppress(OSError, ValueError):  # closed meanwhile; the next call detects it
            return bool(select.select([self.socket], [], [], _SELECT_TIMEOUT_S)[0])
        return False

    def recv(self, nr_bytes: int) -> bytearray:
        """Return `nr_bytes` bytes, or fewer if the peer closed the connection or the time is over.

        Raises OSError, which ends the association, if a PDU is longer than any that was negotiated.
        """
        limit = MAX_PDU_BYTES if self.assoc.is_established else MAX_REQUEST_BYTES
        if nr_bytes > limit or self.socket is None:
            raise OSError(f"PDU of {nr_bytes} bytes, the limit is {limit}")
        received, have = bytearray(nr_bytes), 0
        until = time.monotonic() + (self.socket.gettimeout() or 0)
        with memoryview(received) as view:
            while have < nr_bytes:
                count = self.socket.recv_into(view[have:])
                if count == 0 or time.monotonic() > until:
                    break
                have += count
        del received[have:]
        return self._with_plain_titles(received)

    def _with_plain_titles(self, received: bytearray) -> bytearray:
        """Return what was received; in an association request, NUL bytes in its AE titles are replaced by spaces.

        Some peers pad with them. PS3.8 9.3.2 wants spaces, and pynetdicom aborts without a word.
        """
        is_body = self._pdu_type == _ASSOCIATE_RQ and len(received) > _HEADER_BYTES
        if is_body:
            received[_AE_TITLES] = received[_AE_TITLES].replace(b"\0", b" ")
        self._pdu_type = received[0] if len(received) == _HEADER_BYTES else None
        return received

    def _shutdown_socket(self) -> None:
        super()._shutdown_socket()
        if self.socket is not None:
            self.socket.close()  # pynetdicom leaves a socket open that was never connected


class HardenedDimse(DIMSEServiceProvider):
    """A DIMSE provider in which an invalid message ends its association, not the reactor thread."""

    def __init__(self, association: Association) -> None:
        super().__init__(association)
        self._arrived = threading.Event()

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Receive one P-DATA primitive."""
        try:
            super().receive_primitive(primitive)
            self._serve_store()
            if not self.msg_queue.empty():
                self._arrived.set()
        except Exception:  # noqa: BLE001 - a peer's bytes can raise any exception in the library
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


class NodeHandler(RequestHandler):
    """Makes the association of an accepted connection, with our providers."""

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.dimse = HardenedDimse(association)
        # Each socket announces its connection: the queue is emptied, so that the second one does so once.
        association.dul.event_queue = queue.Queue()
        association.dul.socket = BufferedSocket(association, client_socket=self.request)
        return association


class NodeAE(AE):
    """An application entity whose associations, accepted and requested, have our providers."""

    def make_server(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as pynetdicom declares it
        """Return a server that has not been started, as pynetdicom does."""
        return super().make_server(*arguments, request_handler=NodeHandler, **options)

    def _create_socket(self, assoc: Association, address: AddressInformation, tls_args: Any) -> AssociationSocket:  # noqa: ANN401
        assoc.dimse = HardenedDimse(assoc)
        connection = BufferedSocket(assoc, address=address)
        connection.tls_args = tls_args
        return connection


def on_connected(event: evt.Event, timeout_s: float) -> None:
    """Set the options and the timeout of a new connection, accepted or requested."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        configure_socket(connection.socket, timeout_s)
        # After some errors (exception in the reactor, abort before its first event) pynetdicom leaves the socket open.
        weakref.finalize(event.assoc, connection.socket.close)


class AssociationRequestor:
    """Requests associations with one peer."""

    def __init__(self, peer: Peer, node: NodeSettings) -> None:
        self.peer = peer
        self._node = node
        self._open: Association | None = None

    def abort(self) -> None:
        """End the association in use by another thread, at once."""
        opened = self._open  # the other thread may reset it meanwhile
        connection = opened.dul.socket if opened is not None else None
        abort(connection.socket if connection is not None else None)

    @contextmanager
    def association(
        self,
        contexts: list[PresentationContext],
        handlers: Sequence[evt.EventHandlerType] = (),
        roles: Sequence[object] = (),
    ) -> Iterator[Association]:
        """Open an association for a with block.

        Raises PacsUnavailable if it is not established or ends early, NoAcceptedContext if no context is accepted.
        """
        timeout_s = self._node.network_timeout_s
        ae = NodeAE(ae_title=self._node.ae_title)
        ae.connection_timeout = ae.acse_timeout = self._node.connect_timeout_s
        ae.dimse_timeout = ae.network_timeout = timeout_s
        try:
            self._open = ae.associate(
                self.peer.host,
                self.peer.port,
                contexts,
                ae_title=self.peer.ae_title,
                max_pdu=MAXIMUM_PDU_LENGTH,
                ext_neg=list(roles),  # type: ignore[arg-type]
                evt_handlers=[(evt.EVT_CONN_OPEN, on_connected, [timeout_s]), *handlers],
            )
        except OSError:
            raise PacsUnavailable(self.peer.name, f"host name {self.peer.host} cannot be resolved") from None
        self._require_established(self._open)
        try:
            yield self._open
        except RuntimeError as error:  # raised by pynetdicom if the peer closed the connection between two messages
            raise PacsUnavailable(self.peer.name, "the association has ended") from error
        finally:
            with contextlib.suppress(RuntimeError):
                self._open.release()
            self._open = None

    def _require_established(self, association: Association) -> None:
        where = f"{self.peer.host}:{self.peer.port}"
        if association.is_rejected and association.acceptor.primitive is not None:
            reason = association.acceptor.primitive.reason_str
            raise PacsUnavailable(self.peer.name, f"{where} rejected the association: {reason}")
        if association.rejected_contexts and not association.accepted_contexts:
            raise NoAcceptedContext(self.peer.name, f"{where} accepts none of the presentation contexts")
        if not association.is_established:
            raise PacsUnavailable(self.peer.name, f"no association with {where}")
