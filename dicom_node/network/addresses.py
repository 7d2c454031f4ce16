"""The addresses that peers connect from; host names are resolved anew every few seconds."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from dicom_node.setting_types import ANY_ADDRESS
from dicom_node.settings import Peer

log = logging.getLogger(__name__)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_RESOLVE_EVERY_S = 5.0


def plain_address(text: str) -> Address:
    """Return the address of a connection; that of IPv4 on a socket of IPv6 is one of IPv4."""
    address = ip_address(text.partition("%")[0])  # an IPv6 scope
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


class PeerAddresses:
    """The networks of each peer. A name that cannot be resolved now keeps the addresses that it had."""

    def __init__(self, peers: Sequence[Peer]) -> None:
        self._entries = {peer.name: peer.addresses or (peer.host,) for peer in peers}
        entries = {entry for entries in self._entries.values() for entry in entries} - {ANY_ADDRESS}
        self._networks = {entry: network for entry in entries if (network := _network(entry)) is not None}
        self._names = sorted(entries - set(self._networks))
        self._resolved: dict[str, frozenset[Address]] = {}
        self._closed = threading.Event()

    def open(self) -> None:
        """Resolve the names, and go on doing so in a thread of its own."""
        self._resolve()
        if self._names:
            threading.Thread(target=self._keep_resolved, name="resolve peers", daemon=True).start()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()

    def has(self, peer: Peer, address: Address) -> bool:
        """Return whether a peer may connect from an address."""
        entries = self._entries[peer.name]
        return ANY_ADDRESS in entries or any(self._includes(entry, address) for entry in entries)

    def is_known(self, address: Address) -> bool:
        """Return whether a peer has the address by its settings; `any` is not looked at."""
        return any(self._includes(entry, address) for entries in self._entries.values() for entry in entries)

    def may_connect(self, address: Address) -> bool:
        """Return whether any peer may connect from an address."""
        return any(ANY_ADDRESS in entries for entries in self._entries.values()) or self.is_known(address)

    def _includes(self, entry: str, address: Address) -> bool:
        network = self._networks.get(entry)
        return address in network if network is not None else address in self._resolved.get(entry, ())

    def _keep_resolved(self) -> None:
        while not self._closed.wait(_RESOLVE_EVERY_S):
            self._resolve()

    def _resolve(self) -> None:
        for name in self._names:
            try:
                found = {plain_address(str(each[4][0])) for each in socket.getaddrinfo(name, None)}
            except (OSError, UnicodeError):
                if name not in self._resolved:
                    log.warning("host name %s cannot be resolved: nobody connects from it yet", name)
                    self._resolved[name] = frozenset()
            else:
                self._resolved[name] = frozenset(found)


def _network(entry: str) -> Network | None:
    try:
        return ip_network(entry)
    except ValueError:
        return None
