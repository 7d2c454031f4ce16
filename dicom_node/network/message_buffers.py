"""Buffers of an arriving DIMSE message with limits; a large instance goes on to a file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

from dicom_node.errors import NodeError, SpoolFull
from dicom_node.settings import NodeSettings
from dicom_node.storage.encoded_file import Encoded, EncodedFile, pieces_of

MAX_COMMAND_BYTES = 1 << 16
"""A command set has a few UIDs and numbers (PS3.7 E.1): less than a kilobyte."""
MAX_MEMORY_BYTES = 1 << 23
"""A longer data set goes on to a file. Only that of a C-STORE may be longer."""
MAX_FRAGMENTS = 1 << 20
"""Of one message; a peer that sends 2 GiB in PDUs of 2 kB stays below it."""
_ROOM_CHECK_BYTES = 1 << 26
"""The free disk space is looked at once for so many bytes."""


class MessageTooLong(NodeError):  # noqa: N818 - named for the fact
    """A message exceeds a limit; its association is aborted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageLimits:
    """Limits of the instances that arrive."""

    instance_bytes: int = 1 << 31
    folder: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    """Large ones arrive on its disk."""
    require_room: Callable[[], None] = lambda: None
    """Raises SpoolFull if the disk has too little space."""


def message_limits(node: NodeSettings) -> MessageLimits:
    """Return the limits of a node, without a check of its disk."""
    limits = MessageLimits(instance_bytes=node.max_instance_mb << 20)
    return replace(limits, folder=node.data_dir) if node.data_dir.is_dir() else limits


class CommandSet(BytesIO):
    """Receives an encoded command set."""

    _fragments = 0

    def write(self, fragment: bytes) -> int:  # type: ignore[override]
        """Append a fragment. Raises MessageTooLong."""
        self._fragments += 1
        if max(self.tell() + len(fragment), self._fragments) > MAX_COMMAND_BYTES:
            raise MessageTooLong(f"a command set is longer than {MAX_COMMAND_BYTES} bytes")
        return super().write(fragment)


class ArrivingDataSet(BytesIO):
    """Receives an encoded data set: in memory, and beyond MAX_MEMORY_BYTES in a file."""

    def __init__(self, limits: MessageLimits) -> None:
        super().__init__()
        self._limits = limits
        self._file: EncodedFile | None = None
        self._failure: OSError | SpoolFull | None = None
        self._length = self._fragments = self._room_checked_at = 0
        self.may_be_large = False
        """Whether it may be longer than MAX_MEMORY_BYTES."""

    def write(self, fragment: bytes) -> int:  # type: ignore[override]
        """Append a fragment. Raises MessageTooLong."""
        self._length += len(fragment)
        self._fragments += 1
        limit = self._limits.instance_bytes if self.may_be_large else MAX_MEMORY_BYTES
        if self._length > limit:
            raise MessageTooLong(f"a data set is longer than {limit >> 20} MiB")
        if self._fragments > MAX_FRAGMENTS:
            raise MessageTooLong(f"a data set has more than {MAX_FRAGMENTS} fragments")
        if self._length <= MAX_MEMORY_BYTES:
            return super().write(fragment)
        if self._failure is None:  # else it is dropped, so that the peer gets a status, not an abort
            self._write_to_file(fragment)
        return len(fragment)

    def content(self) -> Encoded:
        """Return the data set. Raises OSError or SpoolFull if its file could not be written."""
        if self._failure is not None:
            raise self._failure
        return super().getvalue() if self._file is None else self._file

    def getvalue(self) -> bytes:
        """Return the data set in memory."""
        return b"".join(pieces_of(self.content()))

    def _write_to_file(self, fragment: bytes) -> None:
        try:
            if self._length >= self._room_checked_at:
                self._limits.require_room()
                self._room_checked_at = self._length + _ROOM_CHECK_BYTES
            if self._file is None:
                self._file = EncodedFile(self._limits.folder)
                with self.getbuffer() as begun:
                    self._file.write(begun)
                self.truncate(0)
            self._file.write(fragment)
        except (OSError, SpoolFull) as error:
            self._file, self._failure = None, error
