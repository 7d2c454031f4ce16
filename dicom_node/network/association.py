"""One association with a peer, as both roles need it: no delay, no waiting for ever, no endless message."""

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
from dicom_node.network.status import MAXIMUM_PDU_LENGTH, abort, prepare
from dicom_node.settings import NodeSettings, Peer

_LONGEST_PDU = 1 << 22
_LONGEST_REQUEST = 1 << 18
"""128 presentation contexts with thirty transfer syntaxes each; to take a longer one apart would keep us busy."""
_LISTEN_S = 0.005


class NoAcceptedContext(PacsUnavailable):
    """The peer does not offer the service, or not in any of our transfer syntaxes."""


class BufferedSocket(AssociationSocket):
    """A connection that reads a PDU in few calls, and only one of a sane length that comes in time."""

    @property
    def ready(self) -> bool:
        """Whether there is something to read; who was called waits for it, where pynetdicom sleeps and asks again."""
        if self.assoc.is_acceptor and self.socket is not None:
            with contextlib.suppress(OSError, ValueError):  # closed meanwhile, as the next line finds out
                select.select([self.socket], [], [], _LISTEN_S)
        return super().ready

    def recv(self, nr_bytes: int) -> bytearray:
        """Return so many bytes; fewer when the peer has hung up. Raises OSError, which ends the association."""
        longest = _LONGEST_PDU if self.assoc.is_established else _LONGEST_REQUEST
        if nr_bytes > longest or self.socket is None:
            raise OSError("a PDU longer than any that was negotiated")
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
            self.socket.close()  # pynetdicom leaves one open that was never connected


class HardenedDimse(DIMSEServiceProvider):
    """Takes messages in; one that is none ends its association, not the thread that reads for it."""

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take in a part of a message."""
        try:
            super().receive_primitive(primitive)
            self._store_at_once()
        except Exception:  # noqa: BLE001 - whatever a peer's bytes can raise in the library
            self.dul.event_queue.put("Evt19")  # PS3.8 table 9-10: unrecognised or invalid PDU

    def get_msg(self, block: bool = False) -> Any:  # noqa: ANN401 - pynetdicom's own type is private
        """Take a message; an answer only by who waits for it, not by the thread that looks for requests meanwhile."""
        _, message = self.peek_msg()
        is_answer = message is not None and not message.is_valid_request
        return (None, None) if is_answer and not block else super().get_msg(block)

    def _store_at_once(self) -> None:
        """Serve a C-STORE in the thread that read it; to hand it to the other one costs more than a millisecond."""
        context_id, request = self.peek_msg()
        # Before the other thread has seen the association established, an answer would be lost: it serves this one.
        is_ours = self.assoc.is_acceptor and self.assoc.is_established
        if not (is_ours and isinstance(request, C_STORE) and request.is_valid_request):
            return
        context = self.assoc._accepted_cx.get(context_id or 0)
        if context is not None and self.get_msg()[1] is request:
            StorageServiceClass(self.assoc).SCP(request, context)


def patch_association(event: evt.Event) -> None:
    """Give an association our classes; pynetdicom has no other place to say which it should make."""
    event.assoc.dimse.__class__ = HardenedDimse
    if event.assoc.dul.socket is not None:
        event.assoc.dul.socket.__class__ = BufferedSocket


def on_connected(event: evt.Event, timeout_s: float) -> None:
    """Prepare an association, accepted or opened, for peers that are slow, broken or hostile."""
    patch_association(event)
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        prepare(connection.socket, timeout_s)
        # On some ways out (a loop that raised, a kill before its first event) pynetdicom leaves the socket open.
        weakref.finalize(event.assoc, connection.socket.close)


class AssociationRequestor:
    """Opens associations with one peer."""

    def __init__(self, peer: Peer, node: NodeSettings) -> None:
        self.peer = peer
        self._node = node
        self._open: Association | None = None

    def abort(self) -> None:
        """End the association that another thread is in, at once."""
        opened = self._open  # the other thread may let go of it meanwhile
        connection = opened.dul.socket if opened is not None else None
        abort(connection.socket if connection is not None else None)

    @contextmanager
    def association(
        self,
        contexts: list[PresentationContext],
        handlers: Sequence[evt.EventHandlerType] = (),
        roles: Sequence[object] = (),
    ) -> Iterator[Association]:
        """Hold an association. Raises PacsUnavailable when there is none, or when the peer ends it meanwhile."""
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
                # EVT_ACSE_SENT: the request is made, nothing is connected yet.
                evt_handlers=[
                    (evt.EVT_ACSE_SENT, patch_association),
                    (evt.EVT_CONN_OPEN, on_connected, [timeout_s]),
                    *handlers,
                ],
            )
        except OSError:
            raise PacsUnavailable(self.peer.name, f"the host name {self.peer.host} is not known") from None
        self._require_established(self._open)
        try:
            yield self._open
        except RuntimeError as error:  # pynetdicom's, when the peer has hung up between two messages
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
