"""Associations for both roles: pynetdicom classes with less latency, time limits and length limits."""

from __future__ import annotations

import contextlib
import logging
import queue
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.fsm import InvalidEventError, StateMachine
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AddressInformation, AssociationSocket, RequestHandler

from dicom_node.errors import PacsUnavailable
from dicom_node.network.dimse import HardenedDimse
from dicom_node.network.message_buffers import MessageLimits, message_limits
from dicom_node.network.pdu_socket import BufferedSocket
from dicom_node.network.status import MAXIMUM_PDU_LENGTH, abort, configure_socket
from dicom_node.network.tls import ClientContext, client_context
from dicom_node.settings import NodeSettings, Peer

log = logging.getLogger(__name__)


class NoAcceptedContext(PacsUnavailable):
    """The peer accepted none of the presentation contexts."""


class HardenedStateMachine(StateMachine):
    """A state machine that ends its association where pynetdicom's would end the reactor thread by an exception.

    Such an event is, for example, our response to a peer that has sent an invalid PDU meanwhile: the association is
    being closed, and PS3.8 table 9-10 has no action for it.
    """

    def do_action(self, event: str) -> None:
        """Perform the action of an event."""
        try:
            super().do_action(event)
        except InvalidEventError:
            log.debug("association ended: event %s in state %s", event, self.current_state)
            self.dul.kill_dul()


class NodeHandler(RequestHandler):
    """Makes the association of an accepted connection, with our providers."""

    def _create_association(self) -> Association:
        association = super()._create_association()
        association.dimse = HardenedDimse(association, limits_of(association))
        association.dul.state_machine = HardenedStateMachine(association.dul)
        # Each socket announces its connection: the queue is emptied, so that the second one does so once.
        association.dul.event_queue = queue.Queue()
        association.dul.socket = self._socket(association)
        return association

    def _socket(self, association: Association) -> BufferedSocket:
        return BufferedSocket(association, client_socket=self.request)


class NodeAE(AE):
    """An application entity whose associations, accepted and requested, have our providers."""

    def __init__(self, ae_title: str, limits: MessageLimits | None = None) -> None:
        super().__init__(ae_title)
        self.limits = limits or MessageLimits()

    def make_server(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as pynetdicom declares it
        """Return a server that has not been started, as pynetdicom does."""
        return super().make_server(*arguments, **{"request_handler": NodeHandler} | options)

    def _create_socket(self, assoc: Association, address: AddressInformation, tls_args: Any) -> AssociationSocket:  # noqa: ANN401
        assoc.dimse = HardenedDimse(assoc, self.limits)
        assoc.dul.state_machine = HardenedStateMachine(assoc.dul)
        connection = BufferedSocket(assoc, address=address)
        connection.tls_args = tls_args
        return connection


def limits_of(association: Association) -> MessageLimits:
    """Return the limits of an association's messages."""
    assert isinstance(association.ae, NodeAE)  # noqa: S101 - all associations have one
    return association.ae.limits


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
        tls = client_context(self.peer, self._node) if self.peer.tls else None
        ae = NodeAE(self._node.ae_title, message_limits(self._node))
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
                tls_args=(tls, self.peer.host) if tls is not None else None,
            )
        except OSError:
            raise PacsUnavailable(self.peer.name, f"host name {self.peer.host} cannot be resolved") from None
        self._require_established(self._open, tls)
        try:
            yield self._open
        except RuntimeError as error:  # raised by pynetdicom if the peer closed the connection between two messages
            raise PacsUnavailable(self.peer.name, "the association has ended") from error
        finally:
            with contextlib.suppress(RuntimeError):
                self._open.release()
            self._open = None

    def _require_established(self, association: Association, tls: ClientContext | None) -> None:
        where = f"{self.peer.host}:{self.peer.port}"
        if tls is not None and tls.failure:
            raise PacsUnavailable(self.peer.name, f"no TLS with {where}: {tls.failure}")
        if association.is_rejected and association.acceptor.primitive is not None:
            reason = association.acceptor.primitive.reason_str
            raise PacsUnavailable(self.peer.name, f"{where} rejected the association: {reason}")
        if association.rejected_contexts and not association.accepted_contexts:
            raise NoAcceptedContext(self.peer.name, f"{where} accepts none of the presentation contexts")
        if not association.is_established:
            raise PacsUnavailable(self.peer.name, f"no association with {where}")
