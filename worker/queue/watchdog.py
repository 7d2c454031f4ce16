"""Notices that this worker has become deaf: messages wait, it has nothing to do, and takes none. Heals nothing itself.

Celery can lose its ear without a word when Redis is killed at a bad moment. A process that ends is started again by
its supervisor; one that only looks alive is not.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)

_EXIT_STALLED = 1
_LOOKS = 12  # in the time of one patience


@dataclass(slots=True)
class Watchdog:
    """Decides, look by look, whether the worker is deaf."""

    patience_s: float
    """Longer than Celery's longest pause between two attempts to connect, which is 30 s."""
    _heard: int = -1
    _since: float = 0.0

    def is_stalled(self, *, waiting: int, heard: int, busy: bool, now: float) -> bool:
        """Say so when messages have waited all the time in which an idle worker heard none of them."""
        if waiting == 0 or busy or heard != self._heard:
            self._heard, self._since = heard, now
        return now - self._since >= self.patience_s


def exit_when_stalled(watchdog: Watchdog, waiting: Callable[[], int], activity: Callable[[], tuple[int, bool]]) -> None:
    """Watch, in a thread of its own, and end the process when it is deaf; `activity` gives messages heard, and busy."""

    def watch() -> None:
        while True:
            time.sleep(watchdog.patience_s / _LOOKS)
            heard, busy = activity()
            if watchdog.is_stalled(waiting=waiting(), heard=heard, busy=busy, now=time.monotonic()):
                log.critical("messages are queued and this worker consumes none of them: it exits, to be started again")
                os._exit(
                    _EXIT_STALLED
                )  # no claim is held, and the ear that would hear a polite request is the deaf one

    threading.Thread(target=watch, name="watchdog", daemon=True).start()
