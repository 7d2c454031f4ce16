"""The node's time: it passes evenly, and follows the system's clock when that was set.

Whatever waits in memory waits by `time.monotonic`. What waits in the journal survives a restart, so that it needs a
time of day: it is given by one clock per process that does not jump by itself. When the system's clock was set,
`node.py` moves the clock and the waiting times of the journal together.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SMALLEST_JUMP_S = 2.0
"""A smaller difference is none; NTP corrects it without a jump."""


class Clock:
    """Seconds since 1970 (UTC), as the system's clock said at the start, plus what has passed since."""

    def __init__(self, wall: Callable[[], float] | None = None, monotonic: Callable[[], float] | None = None) -> None:
        self._wall, self._monotonic = wall or _system_time, monotonic or time.monotonic
        self.restart()

    def restart(self) -> None:
        """Take the time from the system's clock, whatever it was before."""
        self._offset_s = self._wall() - self._monotonic()

    def now(self) -> float:
        """Return the time."""
        return self.at(self._monotonic())

    def at(self, moment: float) -> float:
        """Return the time of a moment of the monotonic clock."""
        return moment + self._offset_s

    def jump_s(self) -> float:
        """Return by how much the system's clock was set since it was last followed, in seconds; 0 if it was not."""
        jump = self._wall() - self.now()
        return jump if abs(jump) >= SMALLEST_JUMP_S else 0.0

    def move(self, seconds: float) -> None:
        """Move the time, to follow the system's clock."""
        self._offset_s += seconds


def _system_time() -> float:
    return time.time()  # looked up at each call, so that a test can set the clock of a process


CLOCK = Clock()
"""The clock of this process."""
