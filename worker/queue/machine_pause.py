"""The pause of a worker whose machine is at fault."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass

from dicom_node.queue.reconciler import backoff_s

log = logging.getLogger(__name__)

_FIRST_S, _LONGEST_S = 1.0, 60.0
_STOP_CHECK_S = 0.1


@dataclass(slots=True, kw_only=True)
class MachinePause:
    """Waits longer each time, until the machine is well or the worker is stopped; each fault is logged once."""

    stopping: threading.Event
    _fault: str = ""
    _since: float = 0.0
    _times: int = 0

    def wait(self, fault: str) -> None:
        """Wait for the next attempt. fault: fact, path and remedy in one line."""
        if not self._times:
            self._since = time.monotonic()
        if fault != self._fault:
            log.error("this worker waits for its machine, and tries again: %s", fault)
        until = time.monotonic() + backoff_s(_FIRST_S, _LONGEST_S, self._times)
        self._fault, self._times = fault, self._times + 1
        while time.monotonic() < until and not self.stopping.is_set():
            time.sleep(_STOP_CHECK_S)

    def end(self) -> None:
        """Note that the machine is well."""
        if self._fault:
            log.info("the machine is well again, after %.0f s", time.monotonic() - self._since)
        self._fault, self._times = "", 0
