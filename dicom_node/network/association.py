"""Associations for both roles: pynetdicom classes with less latency, time limits and length limits."""

from __future__ import annotations

import contextlib
import select
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
from pynetdicom.transport import AssociationSocket

from dicom_node.errors import PacsUnavailable
from dicom_node.network.status import MAXIMUM_PDU_LENGTH, abort, configure_socket
from dicom_node.settings import NodeSettings, Peer

_MAX_PDU_BYTES = 1 << 22
_MAX_REQUEST_BYTES = 1 << 18
"""Enough for 128 presentation contexts of thirty transfer syntaxes each; decoding a longer PDU takes too long."""
_SELECT_TIMEOUT_S = 0.005


class NoAcceptedContext(PacsUnavailable):
    """The peer accepted none of the presentation contexts."""


class BufferedSocket(AssociationSocket):
    """A socket that reads a PDU in few calls, and limits its length and the time that it takes."""

    @property
    def ready(self) -> bool:
        """Whether data can be read; the acceptor waits in select() where pynetdicom sleeps and polls."""
        if self.assoc.is_acceptor and self.socket is not None:
            with contextlib.suppress(OSError, ValueError):  # closed meanwhile; the next line detects it
                select.select([self.socket], [], [], _SELECT_TIMEOUT_S)
        return super().ready

    def recv(self, nr_bytes: int) -> bytearray:
        """Return `nr_bytes` bytes, or fewer if the peer closed the connection or the time is over.

        Raises OSError, which ends the association, if a PDU is longer than any that was negotiated.
        """
        limit = _MAX_PDU_BYTES if self.assoc.is_established else _MAX_REQUEST_BYTES
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
        return received

    def _shutdown_socket(self) -> None:
        super()._shutdown_socket()
        if self.socket is not None:
            self.socket.close()  # pynetdicom leaves a socket open that was never connected


class HardenedDimse(DIMSEServiceProvider):
    """A DIMSE provider in which an invalid message ends its association, not the reactor thread."""

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Receive one P-DATA primitive."""
        try:
            super().receive_primitive(primitive)
            self._serve_store()
        except Exception:  # noqa: BLE001 - a peer's bytes can raise any exception in the library
            self.dul.event_queue.put("Evt19")  # PS3.8 table 9-10: unrecognised or invalid PDU

    def get_msg(self, block: bool = False) -> Any:  # noqa: ANN401 - pynetdicom's own type is private
        """Return the next message; a response only if `block`, so that the polling thread does not take it."""
        _, message = self.peek_msg()
        is_response = message is not None and not message.is_valid_request
        return (None, None) if is_response and not block else super().get_msg(block)

    def _serve_store(self) -> None:
        """Serve a C-STORE in the thread that read it; passing it to the other one costs more than a millisecond."""
        context_id, request = self.peek_msg()
        # Until the other thread has seen the association established, a response would be lost: it serves that request.
        can_serve = self.assoc.is_acceptor and self.assoc.is_established
        if not (can_serve and isinstance(request, C_STORE) and request.is_valid_request):
            return
        context = self.assoc._accepted_cx.get(context_id or 0)
        if context is not None and self.get_msg()[1] is request:
            StorageServiceClass(self.assoc).SCP(request, context)


def patch_association(event: evt.Event) -> None:
    """Replace the DIMSE and socket classes of an association; pynetdicom has no setting for them."""
    event.assoc.dimse.__class__ = HardenedDimse
    if event.assoc.dul.socket is not None:
        event.assoc.dul.socket.__class__ = BufferedSocket


def on_connected(event: evt.Event, timeout_s: float) -> None:
    """Patch a new connection, accepted or requested, and set its socket options and timeout."""
    patch_association(event)
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
        ae = AE(ae_title=self._node.ae_title)
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
                # EVT_ACSE_SENT: the request exists, but the socket is not connected yet.
                evt_handlers=[
                    (evt.EVT_ACSE_SENT, patch_association),
                    (evt.EVT_CONN_OPEN, on_connected, [timeout_s]),
                    *handlers,
                ],
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
