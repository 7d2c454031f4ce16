"""An encoded data set in a file without a name: large instances arrive there, and not in memory."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

_PIECE_BYTES = 1 << 20
MAX_HEADER_BYTES = 1 << 25
"""Most that is read to find the UIDs of an instance: headers of multi-frame images have a few megabytes."""


class EncodedFile:
    """What was written to it, in order, on the disk of a folder; the file ends with this object or the process."""

    def __init__(self, folder: Path) -> None:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def write(self, part: bytes | memoryview) -> None:
        """Append bytes. Raises OSError."""
        view = memoryview(part)
        while view:
            count = os.write(self._descriptor, view)
            self._length += count
            view = view[count:]

    def pieces(self) -> Iterator[bytes]:
        """Yield the content, a megabyte at a time."""
        for offset in range(0, self._length, _PIECE_BYTES):
            yield os.pread(self._descriptor, _PIECE_BYTES, offset)

    def header(self) -> BinaryIO:
        """Return a reader for what precedes the pixel data. It raises EOFError after MAX_HEADER_BYTES."""
        return io.BufferedReader(_Header(self._descriptor, self._length))


class _Header(io.RawIOBase):
    """Reads at its own position, and not more than a header has."""

    def __init__(self, descriptor: int, length: int) -> None:
        super().__init__()
        self._descriptor, self._length = descriptor, length
        self._position = self._count = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any writable buffer
        count = os.preadv(self._descriptor, [buffer], self._position)
        self._position += count
        self._count += count
        if self._count > MAX_HEADER_BYTES:
            raise EOFError
        return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = start + offset
        return self._position


Encoded = bytes | bytearray | memoryview | EncodedFile
"""An encoded data set, or a part of a DICOM file."""


def pieces_of(encoded: Encoded) -> Iterator[bytes | bytearray | memoryview]:
    """Yield the content of a part; what is in memory is one piece."""
    if isinstance(encoded, EncodedFile):
        yield from encoded.pieces()
    else:
        yield encoded


def sha256_of(encoded: Encoded) -> str:
    """Return the SHA-256 (64 hex digits) of an encoded data set."""
    digest = hashlib.sha256()
    for piece in pieces_of(encoded):
        digest.update(piece)
    return digest.hexdigest()


def header_of(encoded: Encoded) -> BinaryIO:
    """Return a reader of an encoded data set."""
    return encoded.header() if isinstance(encoded, EncodedFile) else io.BytesIO(encoded)
