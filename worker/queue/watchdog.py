"""Exits the process if messages are queued but Celery no longer consumes them.

Celery can stop consuming without an error if Redis is killed at a bad moment. The supervisor restarts a process that
exited, but not one that runs and does nothing.
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
_CHECKS = 12  # per time limit


@dataclass(slots=True)
class Activity:
    """Number of messages that this worker has received, and whether it is processing one."""

    received: int = 0
    busy: bool = False

    def __enter__(self) -> None:
        self.received, self.busy = self.received + 1, True

    def __exit__(self, *_: object) -> None:
        self.busy = False


@dataclass(slots=True)
class Watchdog:
    """Decides from repeated observations whether the worker is stalled."""

    time_limit_s: float
    """Longer than Celery's longest pause between two connection attempts, which is 30 s."""
    _received: int = -1
    _since: float = 0.0

    def is_stalled(self, *, waiting: int, received: int, busy: bool, now: float) -> bool:
        """Return whether messages were queued, and the worker idle without receiving one, for the whole time limit.

        waiting: queued messages now. received: messages received since the start. now: seconds, monotonic.
        """
        if waiting == 0 or busy or received != self._received:
            self._received, self._since = received, now
        return now - self._since >= self.time_limit_s


def exit_when_stalled(watchdog: Watchdog, waiting: Callable[[], int], activity: Callable[[], tuple[int, bool]]) -> None:
    """Check regularly in a thread, and exit the process if it is stalled.

    waiting: returns the queued messages. activity: returns the messages received so far, and whether one is processed.
    """

    def watch() -> None:
        while True:
            time.sleep(watchdog.time_limit_s / _CHECKS)
            received, busy = activity()
            if watchdog.is_stalled(waiting=waiting(), received=received, busy=busy, now=time.monotonic()):
                log.critical("messages are queued and this worker consumes none of them: it exits, to be restarted")
                # No job is claimed, and a stalled Celery would not handle a request to shut down.
                os._exit(_EXIT_STALLED)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()
