"""The server of the SCP: a connection becomes an association after it was admitted and has requested one in time."""

from __future__ import annotations

import contextlib
import gc
import logging
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pynetdicom.association import Association
from pynetdicom.transport import ThreadedAssociationServer

from dicom_node.network.admission import Admission, Transport, WaitingConnection
from dicom_node.network.association import NodeAE, NodeHandler
from dicom_node.network.association_request import (
    AssociationObserver,
    AssociationRequest,
    NoAssociation,
    Requestor,
    Tally,
    read_request,
    reject,
)
from dicom_node.network.message_buffers import MessageLimits
from dicom_node.network.pdu_socket import BufferedSocket
from dicom_node.network.status import abort
from dicom_node.network.tls import ServerTls, certificate_of, failure_of

log = logging.getLogger(__name__)

_COLLECT_EVERY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A connection with an acceptable association request."""

    connection: socket.socket
    request: AssociationRequest
    requestor: Requestor
    tally: Tally = field(default_factory=Tally)


class AcceptedSocket(BufferedSocket):
    """The socket of an association that we accept."""

    def __init__(self, association: Association, accepted: Accepted) -> None:
        super().__init__(association, accepted.request.pdu, client_socket=accepted.connection)
        self.accepted = accepted


def accepted_of(association: Association) -> Accepted:
    """Return what an association was accepted as."""
    connection = association.dul.socket
    assert isinstance(connection, AcceptedSocket)  # noqa: S101 - of our own handler
    return connection.accepted


class _AcceptedHandler(NodeHandler):
    """Makes an association, and returns when it has ended."""

    def handle(self) -> None:
        super().handle()
        self._association.join()
        self.request.tally.is_released = self._association.is_released

    def _create_association(self) -> Association:
        self._association = super()._create_association()
        return self._association

    def _socket(self, association: Association) -> BufferedSocket:
        return AcceptedSocket(association, self.request)


class GuardedServer(ThreadedAssociationServer):
    """Listens on one port, with TLS or without. Each connection that is admitted has a thread until it ends."""

    request_queue_size = 1024  # pynetdicom's is 5: the kernel lets peers try again after a second and more
    daemon_threads = True

    def __init__(
        self,
        *arguments: Any,  # noqa: ANN401 - those of pynetdicom
        admission: Admission,
        observers: Sequence[AssociationObserver],
        tls: ServerTls | None,
        **options: Any,  # noqa: ANN401
    ) -> None:
        self._admission, self._observers, self._tls = admission, observers, tls
        self._collect_at = time.monotonic() + _COLLECT_EVERY_S
        super().__init__(*arguments, **options)

    def service_actions(self) -> None:
        """Collect ended associations, whose objects refer to each other; pynetdicom does so after 60 connections."""
        if time.monotonic() > self._collect_at:
            gc.collect()
            self._collect_at = time.monotonic() + _COLLECT_EVERY_S

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ANN401, ARG002 - as socketserver declares it
        """Return whether a connection may request an association; if not, it is closed."""
        if self._admission.may_connect(client_address[0]):
            return True
        self._refuse(Requestor(address=client_address[0], ae_title=""), "refused: no peer has its address")
        return False

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve a connection until it ends."""
        connection = request
        try:
            with contextlib.ExitStack() as slot:  # held until the association has ended
                with self._admission.waiting(request, client_address[0]) as waiting:
                    accepted = self._accept(waiting, slot)
                    connection = waiting.connection
                if accepted is not None:
                    self._associate(accepted, client_address)
        finally:
            self.shutdown_request(connection)

    def handle_error(self, _request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Log an exception in the thread of a connection."""
        log.error("connection from %s: unexpected %s", client_address[0], type(sys.exception()).__name__)

    def _accept(self, waiting: WaitingConnection, slot: contextlib.ExitStack) -> Accepted | None:
        """Return the connection if its association request is accepted; if not, it is answered and logged."""
        try:
            request, transport = self._receive(waiting)
        except NoAssociation as error:
            self._refuse(Requestor(address=waiting.address, ae_title=""), f"ended without an association: {error}")
            return None
        judged = self._admission.judge(request, transport)
        if isinstance(judged, Requestor):
            requestor, rejection = judged, slot.enter_context(self._admission.slot(waiting.address))
        else:
            requestor = Requestor(address=waiting.address, ae_title=request.calling_ae_title, tls=transport.tls)
            rejection = judged
        if rejection is None:
            return Accepted(connection=waiting.connection, request=request, requestor=requestor)
        self._refuse(requestor, f"rejected: {rejection.why}")
        reject(waiting.connection, rejection)
        return None

    def _receive(self, waiting: WaitingConnection) -> tuple[AssociationRequest, Transport]:
        """Return the association request and what it came over. Raises NoAssociation."""
        until = time.monotonic() + self._admission.node.association_timeout_s
        if self._tls is None:
            return read_request(waiting.connection, until), Transport(address=waiting.address)
        try:
            secured = self._tls.wrap(waiting.connection)
            waiting.connection = secured
            secured.settimeout(self._admission.node.association_timeout_s)
            secured.do_handshake()
        except OSError as error:
            raise NoAssociation(f"TLS: {failure_of(error)}") from None
        cipher, version, _ = secured.cipher() or ("", "", 0)
        transport = Transport(address=waiting.address, tls=f"{version} {cipher}", certificate=certificate_of(secured))
        return read_request(secured, until), transport

    def _associate(self, accepted: Accepted, client_address: Any) -> None:  # noqa: ANN401
        started = time.monotonic()
        super().finish_request(accepted, client_address)  # type: ignore[arg-type]
        accepted.tally.seconds = time.monotonic() - started
        if accepted.tally.is_accepted:
            for observer in self._observers:
                observer.on_ended(accepted.requestor, accepted.tally)

    def _refuse(self, requestor: Requestor, why: str) -> None:
        for observer in self._observers:
            observer.on_refused(requestor, why)


class GuardedAE(NodeAE):
    """An application entity with one GuardedServer."""

    def __init__(self, limits: MessageLimits, **guards: Any) -> None:  # noqa: ANN401 - arguments of GuardedServer
        super().__init__(guards["admission"].node.ae_title, limits)
        self._guards = guards

    def make_server(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - as pynetdicom declares it
        """Return a server that has not been started, as pynetdicom does."""
        own = {"server_class": GuardedServer, "request_handler": _AcceptedHandler}
        return super().make_server(*arguments, **options | own | self._guards)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenScp:
    """Listeners of the SCP that listen until they are closed; each is None if there is none."""

    plain: GuardedServer | None
    secured: GuardedServer | None
    admission: Admission

    @property
    def port(self) -> int:
        """The port without TLS, else the one with TLS."""
        server = self.plain or self.secured
        assert server is not None  # noqa: S101 - there is always one
        return int(server.server_address[1])

    @property
    def tls_port(self) -> int | None:
        """The port with TLS."""
        return int(self.secured.server_address[1]) if self.secured is not None else None

    def close(self) -> None:
        """Stop listening, and end what is open without waiting for the peers."""
        self.admission.close()
        self.admission.addresses.close()
        for server in filter(None, (self.plain, self.secured)):
            for association in server.active_associations:
                connection = association.dul.socket
                abort(connection.socket if connection is not None else None)
            server.ae.shutdown()
