"""Limits how often refusals from one address are logged: a stranger must not fill the disk with log lines."""

from __future__ import annotations

import ipaddress
import threading
from dataclasses import dataclass

WINDOW_S = 60.0
MOST_IN_WINDOW = 5
"""Refusals of one address that are logged and audited one by one within the window; the others are counted."""
MOST_ADDRESSES = 50
"""Addresses that are told apart within the window."""
OTHERS = "other addresses"


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """How many refusals of an address were not logged in the window that has ended."""

    address: str
    count: int


@dataclass(slots=True)
class _Window:
    began_at: float
    count: int = 0


class RefusalLimiter:
    """Counts refusals by address; thread-safe. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self._windows: dict[str, _Window] = {}
        self._lock = threading.Lock()

    def admits(self, address: str, now: float) -> bool:
        """Count a refusal, and return whether it is to be logged."""
        network = network_of(address)
        with self._lock:
            if network not in self._windows and len(self._windows) >= MOST_ADDRESSES:
                network = OTHERS
            window = self._windows.setdefault(network, _Window(now))
            window.count += 1
            return window.count <= MOST_IN_WINDOW

    def left_out(self, now: float, *, is_end: bool = False) -> list[LeftOut]:
        """End the windows that are over (at the end, all of them), and return what was not logged in them."""
        with self._lock:
            over = {
                address: window
                for address, window in self._windows.items()
                if is_end or now - window.began_at >= WINDOW_S
            }
            for address in over:
                del self._windows[address]
        counts = {address: window.count - MOST_IN_WINDOW for address, window in over.items()}
        return [LeftOut(address=address, count=count) for address, count in counts.items() if count > 0]


def network_of(address: str) -> str:
    """Return the address that is counted: of IPv6 the network, because a host has 2 ** 64 addresses."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped) if mapped else str(ipaddress.ip_network((parsed, 64), strict=False))
