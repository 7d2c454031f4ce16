"""A wall clock that jumps, for all processes that are forked after it was made."""

from __future__ import annotations

import mmap
import struct
import time
from collections.abc import Callable

_OFFSET = struct.Struct("d")


class JumpingClock:
    """An offset to `time.time` in memory that processes share; monotonic clocks are not touched, as by NTP."""

    def __init__(self) -> None:
        self._shared = mmap.mmap(-1, _OFFSET.size)
        self._true: Callable[[], float] = time.time

    def jump(self, seconds: float) -> None:
        """Set the clock ahead, or back if the number is negative."""
        (offset,) = _OFFSET.unpack_from(self._shared)
        _OFFSET.pack_into(self._shared, 0, offset + seconds)

    def install(self) -> None:
        """Give this process the clock."""
        setattr(time, "time", self._now)  # noqa: B010 - mypy allows no assignment to a function

    def _now(self) -> float:
        (offset,) = _OFFSET.unpack_from(self._shared)
        return self._true() + float(offset)
