"""Which connections may wait for their association request, and which of them may associate.

A connection takes a slot of `node.max_associations` with an acceptable association request, not before: what strangers
leave open, or request in vain, takes nothing from the peers.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from dicom_node.network.addresses import PeerAddresses, plain_address
from dicom_node.network.association_request import (
    NO_SLOT,
    WRONG_CALLED_TITLE,
    AssociationRequest,
    Rejection,
    Requestor,
    unknown_calling_title,
)
from dicom_node.network.status import abort
from dicom_node.network.tls import Certificate
from dicom_node.settings import NodeSettings, Peer

MOST_WAITING = 256
"""Connections that wait for their association request; for each one more, an old one is closed."""


@dataclass(slots=True, kw_only=True, eq=False)
class WaitingConnection:
    """A connection whose association request is not complete."""

    connection: socket.socket
    """With TLS, once it has it."""
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """What a request came over: the address, and TLS with the certificate of the other side."""

    address: str
    tls: str = ""
    """Version and cipher; empty without TLS."""
    certificate: Certificate | None = None


@dataclass(slots=True, kw_only=True)
class Admission:
    """Admits connections and associations of all listeners of the SCP; thread-safe."""

    node: NodeSettings
    peers: Sequence[Peer]
    addresses: PeerAddresses
    _waiting: dict[WaitingConnection, float] = field(default_factory=dict)
    """Since when, on the monotonic clock; the oldest is the first."""
    _open: Counter[str] = field(default_factory=Counter)
    """Number of associations by address."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def may_connect(self, address: str) -> bool:
        """Return whether any peer may connect from the address."""
        return self.addresses.may_connect(plain_address(address))

    @contextmanager
    def waiting(self, connection: socket.socket, address: str) -> Iterator[WaitingConnection]:
        """Let a connection wait for its request in the block; it may be closed there when too many wait."""
        waiting = WaitingConnection(connection=connection, address=address)
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                abort(self._least_wanted().connection)
            self._waiting[waiting] = time.monotonic()
        try:
            yield waiting
        finally:
            with self._lock:
                self._waiting.pop(waiting, None)

    def close(self) -> None:
        """End the connections that wait."""
        with self._lock:
            for waiting in self._waiting:
                abort(waiting.connection)

    def judge(self, request: AssociationRequest, transport: Transport) -> Requestor | Rejection:
        """Return who requests the association, or why it is rejected."""
        if request.called_ae_title != self.node.ae_title:
            return WRONG_CALLED_TITLE
        peers = [peer for peer in self.peers if peer.ae_title == request.calling_ae_title]
        if not peers:
            return unknown_calling_title("no peer has its AE title")
        peers = [peer for peer in peers if self.addresses.has(peer, plain_address(transport.address))]
        if not peers:
            return unknown_calling_title("the peer with its AE title has another address")
        peers = [peer for peer in peers if not peer.tls or transport.tls]
        if not peers:
            return unknown_calling_title("the peer with its AE title needs TLS")
        peers = [peer for peer in peers if self._has_certificate_of(peer, transport)]
        if not peers:
            return unknown_calling_title("its certificate has none of the peer's tls_names")
        return Requestor(
            address=transport.address, ae_title=request.calling_ae_title, tls=transport.tls, peers=tuple(peers)
        )

    def _has_certificate_of(self, peer: Peer, transport: Transport) -> bool:
        """Whether the certificate is the peer's; without `tls_mutual` there is none, unless names are asked for."""
        if not peer.tls or (transport.certificate is None and not self.node.tls_mutual and not peer.tls_names):
            return True
        return transport.certificate is not None and transport.certificate.is_of(peer)

    @contextmanager
    def slot(self, address: str) -> Iterator[Rejection | None]:
        """Hold a slot for an association in the block; yield NO_SLOT if there is none."""
        with self._lock:
            has_slot = self._has_slot(address)
            self._open[address] += has_slot
        try:
            yield None if has_slot else NO_SLOT
        finally:
            with self._lock:
                self._open[address] -= has_slot
                self._open += Counter()  # without addresses that have none

    def _has_slot(self, address: str) -> bool:
        """Whether one address leaves some slots to others, and addresses that no peer has (`any`) half of them."""
        most = self.node.max_associations
        strangers = sum(count for each, count in self._open.items() if not self._is_known(each))
        return (
            self._open.total() < most
            and self._open[address] < max(most * 3 // 4, 1)
            and (self._is_known(address) or strangers < max(most // 2, 1))
        )

    def _least_wanted(self) -> WaitingConnection:
        """Return the oldest connection of the address with most, of strangers before those of peers; remove it."""
        counts = Counter(waiting.address for waiting in self._waiting)
        worst = max(counts, key=lambda address: (not self._is_known(address), counts[address]))
        found = next(waiting for waiting in self._waiting if waiting.address == worst)
        del self._waiting[found]
        return found

    def _is_known(self, address: str) -> bool:
        return self.addresses.is_known(plain_address(address))
