"""Log lines of associations: one for each that opens, ends or is refused."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field

from dicom_node.network.association_request import Requestor, Tally

log = logging.getLogger(__name__)

_WINDOW_S = 60.0
_MOST_PER_WINDOW = 5
"""Refusals of one address that are logged; of more, the number."""
_MOST_ADDRESSES = 1000


@dataclass(slots=True)
class _Window:
    ends_at: float
    count: int = 0


@dataclass(slots=True, kw_only=True)
class AssociationLog:
    """Writes the lines; those of an address that is refused again and again are counted instead."""

    _refusals: dict[str, _Window] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def on_accepted(self, requestor: Requestor) -> None:
        """Log who is connected, and how."""
        log.info("association of %s accepted", requestor)

    def on_ended(self, requestor: Requestor, tally: Tally) -> None:
        """Log what happened in the association."""
        log.log(
            logging.INFO if tally.is_released else logging.WARNING,
            "association of %s %s: %d instances stored, %d refused, %.1f s",
            requestor,
            "was released" if tally.is_released else "was aborted",
            tally.stored,
            tally.refused,
            tally.seconds,
        )

    def on_refused(self, requestor: Requestor, why: str) -> None:
        """Log the first refusals of an address, and now and then how many there were."""
        with self._lock:
            window = self._window(requestor.address)
            window.count += 1
            is_logged = window.count <= _MOST_PER_WINDOW
        if is_logged:
            title = f" ({requestor.ae_title!r})" if requestor.ae_title else ""
            log.warning("connection from %s%s %s", requestor.address, title, why)

    def _window(self, address: str) -> _Window:
        now = time.monotonic()
        window = self._refusals.get(address)
        if window is not None and now < window.ends_at:
            return window
        if window is not None and window.count > _MOST_PER_WINDOW:
            more = window.count - _MOST_PER_WINDOW
            log.warning("%d more connections from %s were refused in %d s", more, address, _WINDOW_S)
        if len(self._refusals) >= _MOST_ADDRESSES:
            self._refusals.clear()
        self._refusals[address] = _Window(now + _WINDOW_S)
        return self._refusals[address]
