"""Keeps other users of the machine out of the data directory, which has patient data."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

PRIVATE = 0o700
PRIVATE_UMASK = 0o077
"""Of every command: whatever it creates is its user's alone."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OURS = ("journal.db", "journal.db-wal", "journal.db-shm", "inbox", "outbox", ".salt", ".lock")


def make_private(data_dir: Path) -> None:
    """Create the data directory, or take the rights of others from one that is there. Raises OSError.

    They are taken, not complained of: nobody else has a use for it, and an earlier version made it readable to all. A
    folder that is not ours (of another user, shared as /tmp, or with other content) is left as it is, with a line in
    the log; what we create there is private all the same.
    """
    data_dir.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
    opened = open_to_others(data_dir)
    if not opened:
        return
    if not _is_ours(data_dir):
        log.warning("%s is open to other users of this machine: %s", data_dir, remedy(data_dir))
        return
    for path in opened:
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~_OTHERS)
    log.warning("%s was open to other users of this machine, and is private now", data_dir)


def open_to_others(data_dir: Path) -> list[Path]:
    """Return what others may read or write: the data directory, and what we keep in it; nothing if it is private."""
    found = list(_open_to_others(data_dir))
    return found if data_dir in found else []


def remedy(data_dir: Path) -> str:
    """Return what to do about a folder that is open to others."""
    return f"chmod -R go-rwx {data_dir}, or set node.data_dir to a folder of its own"


def _open_to_others(data_dir: Path) -> Iterator[Path]:
    """Yield what is open to others and, but for the directory itself, owned by this user."""
    for path in (data_dir, *(data_dir / name for name in _OURS)):
        if not path.exists() or path.is_symlink():
            continue
        found = path.stat()
        if found.st_mode & _OTHERS and (path == data_dir or found.st_uid == os.geteuid()):
            yield path


def _is_ours(data_dir: Path) -> bool:
    """Whether the directory is this user's, not shared, and empty or with our content."""
    found = data_dir.stat()
    names = {path.name for path in data_dir.iterdir()}
    is_own = found.st_uid == os.geteuid() and not found.st_mode & stat.S_ISVTX
    return is_own and (not names or bool(names.intersection(_OURS)))
