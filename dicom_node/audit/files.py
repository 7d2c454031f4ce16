"""The files of the audit trail: lines are only appended, and a new file begins every day and at a size.

A line is written before the caller goes on, so that it outlives the process; it is synced to disk within a second, so
that a power cut takes at most the last one. A line that cannot be written waits in memory, and an error says so.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger(__name__)

MOST_WAITING = 10_000
"""Lines that wait in memory while they cannot be written; further ones are counted as lost."""
_NAME = re.compile(r"audit-(\d{4}-\d{2}-\d{2})-(\d{4})\.log")
_DAY_S = 86400.0


class AuditFiles:
    """Appends lines to the newest file of a folder; thread-safe, and other processes may do the same."""

    def __init__(self, folder: Path, rotate_mb: int) -> None:
        self.folder = folder
        self._longest = rotate_mb << 20
        self._lock = threading.Lock()
        self._waiting = deque[bytes]()
        self._lost = 0
        self._has_failed = False
        self._name, self._descriptor = "", -1
        self._is_synced = True

    def append(self, line: bytes) -> None:
        """Write a line with its end; if that fails now, it is tried again by the next call of this or `sync`."""
        with self._lock:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(line)
            else:
                self._lost += 1
            self._write()

    def sync(self) -> None:
        """Write what waits, and wait until all of it is on disk. Call it every second."""
        with self._lock:
            self._write()
            if not self._is_synced:
                os.fsync(self._descriptor)
                self._is_synced = True

    def close(self) -> None:
        """Sync and close the file; a later call of `append` opens it again."""
        with suppress(OSError):
            self.sync()
        with self._lock:
            self._close()

    def _write(self) -> None:
        waited = len(self._waiting)
        try:
            while self._waiting:
                self._write_line(self._waiting[0])
                self._waiting.popleft()
        except OSError as error:
            self._close()
            if not self._has_failed:
                reason = f"{error.strerror}; they wait in memory, at most {MOST_WAITING}"
                log.error("audit messages cannot be written to %s: %s", self.folder, reason)  # noqa: TRY400
            self._has_failed = True
            return
        if self._has_failed:
            log.error("audit messages are written again: %d had waited, %d are lost", waited, self._lost)
            self._has_failed, self._lost = False, 0

    def _write_line(self, line: bytes) -> None:
        descriptor = self._open_newest()
        with _locked(descriptor):
            written = os.write(descriptor, line)
        self._is_synced = False
        if written < len(line):  # the part becomes a line of its own, and the whole is written again
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _open_newest(self) -> int:
        """Return the descriptor of the file that is to be written."""
        name = newest_name(self.folder, self._name, self._longest)
        if name != self._name or self._descriptor < 0:
            self._close()
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = _open(self.folder / name)
            self._name = name
        return self._descriptor

    def _close(self) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                if not self._is_synced:
                    os.fsync(self._descriptor)
            os.close(self._descriptor)
        self._name, self._descriptor, self._is_synced = "", -1, True


def file_names(folder: Path) -> list[str]:
    """Return the names of the files of the audit trail, the oldest first."""
    with suppress(FileNotFoundError):
        return sorted(name for name in os.listdir(folder) if _NAME.fullmatch(name))  # noqa: PTH208 - names are wanted
    return []


def newest_name(folder: Path, current: str, longest: int) -> str:
    """Return the name of the file that is written now; never one before `current`, even if the clock was set back."""
    today = f"audit-{datetime.now(UTC):%Y-%m-%d}-0001.log"
    name = max(current, today) if current else max([today, *file_names(folder)])
    with suppress(FileNotFoundError):
        if (folder / name).stat().st_size >= longest:
            return _next(name)
    return name


def remove_old(folder: Path, keep_days: int, first_unsent: str | None = None) -> list[str]:
    """Delete the files of days that are past by `keep_days`, and return their names; 0 deletes none.

    first_unsent: this file and later ones stay, because they have not been sent.
    """
    if keep_days == 0:
        return []
    first = f"audit-{datetime.fromtimestamp(time.time() - keep_days * _DAY_S, UTC):%Y-%m-%d}-0001.log"
    if first_unsent is not None:
        first = min(first, first_unsent)
    old = [name for name in file_names(folder)[:-1] if name < first]
    for name in old:
        (folder / name).unlink(missing_ok=True)
    return old


def _next(name: str) -> str:
    found = _NAME.fullmatch(name)
    assert found is not None  # noqa: S101  (our own name)
    return f"audit-{found[1]}-{int(found[2]) + 1:04d}.log"


def _open(path: Path) -> int:
    """Open a file to append to; a line that a power cut left without its end is ended first."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with _locked(descriptor):
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            os.write(descriptor, b"\n")
    return descriptor


@contextmanager
def _locked(descriptor: int) -> Iterator[None]:
    """Lock a file in the block: what another process is writing is seen as a whole line or not at all."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
