"""Association requests of peers: who requests, what is answered, and who is told of it."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dicom_node.network.pdu_socket import MAX_REQUEST_BYTES
from dicom_node.network.status import SUCCESS
from dicom_node.network.tls import failure_of
from dicom_node.settings import Peer

_ASSOCIATE_RQ, _ASSOCIATE_RJ = 0x01, 0x03
_HEADER_BYTES, _SHORTEST_BODY_BYTES = 6, 68
_AE_TITLES, _CALLED, _CALLING = slice(10, 42), slice(10, 26), slice(26, 42)
"""PS3.8 table 9-11, from the first byte of the PDU."""
_TLS_HANDSHAKE = 0x16
"""RFC 8446 5.1."""
_CLOSING_S = 1.0
"""How long a peer that is rejected may take to close its connection."""
_ENDED, _LATE = "the other side closed it", "no complete association request in time"


@dataclass(frozen=True, slots=True, kw_only=True)
class Requestor:
    """Who requests an association, by its address, the request, and TLS."""

    address: str
    ae_title: str
    tls: str = ""
    """Version and cipher; empty without TLS."""
    peers: Sequence[Peer] = ()
    """The peers with this AE title that may connect so: usually one."""

    def __str__(self) -> str:
        names = ", ".join(peer.name for peer in self.peers) or "nobody"
        return f"{names} ({self.ae_title!r} at {self.address}{self.tls and ', '}{self.tls})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """Why an association is rejected (PS3.8 table 9-21), and why in words."""

    result: int
    source: int
    reason: int
    why: str

    def pdu(self) -> bytes:
        """Return the A-ASSOCIATE-RJ."""
        return struct.pack(">BBIBBBB", _ASSOCIATE_RJ, 0, 4, 0, self.result, self.source, self.reason)


def unknown_calling_title(why: str) -> Rejection:
    """Return the rejection of somebody who is no peer, or not in this way."""
    return Rejection(result=1, source=1, reason=3, why=why)


WRONG_CALLED_TITLE = Rejection(result=1, source=1, reason=7, why="the called AE title is not ours")
NO_SLOT = Rejection(result=2, source=3, reason=2, why="too many associations are open")


@dataclass(slots=True, kw_only=True)
class Tally:
    """What happened in an association, until now."""

    stored: int = 0
    refused: int = 0
    is_accepted: bool = False
    is_released: bool = False
    """Whether it ended by a release, and not by an abort."""
    seconds: float = 0.0

    def count(self, status: int) -> None:
        """Count an instance by the status of its C-STORE response."""
        self.stored += status == SUCCESS
        self.refused += status != SUCCESS


class AssociationObserver(Protocol):
    """Is told of associations, in the threads of the connections: it must be quick, and must not raise."""

    def on_accepted(self, requestor: Requestor) -> None:
        """An association is open."""

    def on_ended(self, requestor: Requestor, tally: Tally) -> None:
        """The association has ended."""

    def on_refused(self, requestor: Requestor, why: str) -> None:
        """A connection or an association request was refused. The AE title is empty if none was received."""


class NoAssociation(Exception):  # noqa: N818 - named for the fact
    """A connection ended, or is ended, without an association; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationRequest:
    """A received A-ASSOCIATE-RQ, and both titles in it."""

    pdu: bytearray
    called_ae_title: str
    calling_ae_title: str


def read_request(connection: socket.socket, until: float) -> AssociationRequest:
    """Return the association request that a connection begins with. Raises NoAssociation.

    until: on the monotonic clock. Some peers pad AE titles with NUL bytes; PS3.8 9.3.2 wants the spaces that they
    become here, and pynetdicom would abort without a word.
    """
    header = _read(connection, _HEADER_BYTES, until)
    kind, length = header[0], int.from_bytes(header[2:], "big")
    if kind != _ASSOCIATE_RQ:
        raise NoAssociation("it began with TLS" if kind == _TLS_HANDSHAKE else "it sent no association request")
    if not _SHORTEST_BODY_BYTES <= length <= MAX_REQUEST_BYTES:
        raise NoAssociation(f"association request of {length} bytes, the limit is {MAX_REQUEST_BYTES}")
    pdu = header + _read(connection, length, until)
    pdu[_AE_TITLES] = pdu[_AE_TITLES].replace(b"\0", b" ")
    return AssociationRequest(pdu=pdu, called_ae_title=_title(pdu[_CALLED]), calling_ae_title=_title(pdu[_CALLING]))


def reject(connection: socket.socket, rejection: Rejection) -> None:
    """Send a rejection, and wait a moment for the peer to close: what it has not read would be lost by a reset."""
    try:
        connection.settimeout(_CLOSING_S)
        connection.sendall(rejection.pdu())
        connection.recv(1)
    except OSError:
        return


def _read(connection: socket.socket, count: int, until: float) -> bytearray:
    received = bytearray()
    try:
        while len(received) < count and (left := until - time.monotonic()) > 0:
            connection.settimeout(left)
            part = connection.recv(count - len(received))
            if not part:
                break
            received += part
    except TimeoutError:
        raise NoAssociation(_LATE) from None
    except OSError as error:
        raise NoAssociation(failure_of(error)) from None
    if len(received) < count:
        raise NoAssociation(_ENDED if time.monotonic() < until else _LATE)
    return received


def _title(field: bytearray) -> str:
    return field.decode("ascii", "backslashreplace").strip()
