"""Limits of what is read of a data set, whatever its bytes say: the number of its elements, and its inflated length.

Deflated zeros grow a thousandfold (PS3.5 A.5 names no limit), and an element can be as short as eight bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import BinaryIO

import pydicom.filereader

MOST_READS = 1 << 20
"""Each element takes at least one; a multi-frame CT of 2,000 frames takes some hundred thousand."""
MOST_INFLATED = 1 << 30
"""Bytes. A CT of 2,000 slices has half of it."""
ALWAYS_INFLATED, MOST_TIMES = 64 << 20, 100
"""A data set may be inflated to so many bytes, or to so many times its deflated length; CT takes two to five times."""
_PIECE, _KEPT = 1 << 16, 1 << 16
_DEFLATED_ALONE = -zlib.MAX_WBITS
"""Without a zlib header (PS3.5 A.5)."""


class TooManyElements(ValueError):  # noqa: N818 - named for the fact
    """A data set has more elements, at all levels, than any real one."""


class TooLong(zlib.error):
    """A deflated data set is inflated to more bytes than is allowed."""


def most_inflated(deflated: int) -> int:
    """Return to how many bytes a data set of `deflated` bytes may be inflated."""
    return min(MOST_INFLATED, max(ALWAYS_INFLATED, MOST_TIMES * deflated))


def inflate(deflated: bytes) -> bytes:
    """Return the inflated data set. Raises TooLong, and zlib.error if it is damaged or cut off."""
    limit, inflater = most_inflated(len(deflated)), zlib.decompressobj(_DEFLATED_ALONE)
    inflated = inflater.decompress(deflated, limit + 1)
    if len(inflated) > limit:
        raise TooLong(f"more than {limit} bytes")
    if not inflater.eof:
        raise zlib.error("cut off")
    return inflated


def limit_inflating() -> None:
    """Let pydicom inflate with `inflate`, also where other libraries read with it; it has no limit of its own."""
    limited = SimpleNamespace(decompress=lambda deflated, _wbits: inflate(deflated), MAX_WBITS=zlib.MAX_WBITS)
    pydicom.filereader.zlib = limited  # type: ignore[attr-defined, assignment]


class CountedReads:
    """A stream of which more than MOST_READS reads raise TooManyElements."""

    def __init__(self, stream: BinaryIO) -> None:
        self._read, self._left = stream.read, MOST_READS
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        self._left -= 1
        if self._left < 0:
            raise TooManyElements
        return self._read(size)


class EncodedStream(CountedReads):
    """An encoded data set, of which its reader can ask whether it goes as far as an element says."""

    def __init__(self, encoded: BinaryIO, length: int) -> None:
        super().__init__(encoded)
        self._length = length

    def reaches(self, position: int) -> bool:
        """Return whether the data set has this many bytes."""
        return position <= self._length

    def ends_at(self, position: int) -> bool:
        """Return whether the data set has exactly this many bytes."""
        return position == self._length


class InflatedStream:
    """A deflated data set that is inflated piece by piece; of what was passed, the last 64 KiB are kept.

    Its methods raise TooManyElements and zlib.error, TooLong among them.
    """

    def __init__(self, deflated: Iterable[bytes | bytearray | memoryview], length: int) -> None:
        """deflated: its pieces; length: of all of them."""
        self._deflated, self._inflater = _slices(deflated), zlib.decompressobj(_DEFLATED_ALONE)
        self._limit, self._left = most_inflated(length), MOST_READS
        self._window, self._start, self._position = bytearray(), 0, 0

    def tell(self) -> int:
        """Return the position, counted in inflated bytes."""
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position, or by so many bytes if `whence` is 1; it is inflated to there by the next read."""
        self._position = offset + (self._position if whence else 0)
        return self._position

    def read(self, size: int) -> bytes:
        """Return the next bytes. Raises EOFError if they were passed long ago."""
        self._left -= 1
        if self._left < 0:
            raise TooManyElements
        if self._position < self._start:
            raise EOFError
        self._inflate_to(self._position + size)
        at = self._position - self._start
        found = bytes(self._window[at : at + size])
        self._position += len(found)
        return found

    def reaches(self, position: int) -> bool:
        """Return whether the data set has this many bytes; it is inflated to its end, which finds it cut off."""
        self._position = max(self._position, position)
        self._inflate_to(self._limit + 1)
        if not self._inflater.eof:
            raise zlib.error("cut off")
        return position <= self._end

    def ends_at(self, position: int) -> bool:
        """Return whether the data set has exactly this many bytes."""
        return self.reaches(position) and position == self._end

    @property
    def _end(self) -> int:
        return self._start + len(self._window)

    def _inflate_to(self, end: int) -> None:
        while self._end < end and (piece := self._next_piece()):
            self._window += piece
            if self._end > self._limit:
                raise TooLong(f"more than {self._limit} bytes")
            passed = min(self._position - self._start, len(self._window)) - _KEPT
            if passed > _KEPT:
                del self._window[:passed]
                self._start += passed

    def _next_piece(self) -> bytes:
        while not self._inflater.eof:
            given = self._inflater.unconsumed_tail or next(self._deflated, b"")
            piece = self._inflater.decompress(given, _PIECE)
            if piece or not given:
                return piece
        return b""


def _slices(pieces: Iterable[bytes | bytearray | memoryview]) -> Iterator[bytes]:
    """Yield short pieces: of what zlib does not take at once, it makes a copy each time."""
    for piece in pieces:
        for start in range(0, len(piece), _PIECE):
            yield bytes(memoryview(piece)[start : start + _PIECE])
