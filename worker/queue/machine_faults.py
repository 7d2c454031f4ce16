"""Tells faults of the machine, which every job would meet, from faults of one job."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from dicom_node.errors import JournalUnavailable
from dicom_node.storage.spool import Spool

_ACCESS = "give the user that runs lungspread access to it"
_MOUNT = "check that its file system is mounted, and the disk"
_SPACE = "free some space there"
_FILES = "raise the limit of open files (ulimit -n, LimitNOFILE)"
# ENOMEM is not among them: a job that needs too much memory must not be tried for ever.
_REMEDIES = {
    errno.EACCES: _ACCESS,
    errno.EPERM: _ACCESS,
    errno.EROFS: "make its file system writable, and check the disk",
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.EIO: _MOUNT,
    errno.ESTALE: _MOUNT,
    errno.ENODEV: _MOUNT,
    errno.ENXIO: _MOUNT,
    errno.ENOTCONN: _MOUNT,
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
}


def machine_fault(error: Exception, spool: Spool) -> str | None:
    """Return the fault of the machine behind an error: fact, path and remedy in one line; None if the job is at fault.

    A received file that cannot be read is a fault of its job, unless the inbox as a whole cannot be read.
    """
    if isinstance(error, JournalUnavailable):
        return f"{error}: check journal.url, and that the database runs and is not locked"
    for cause in _causes(error):
        if isinstance(cause, OSError):
            return _fault_of_file(cause, spool)
    return None


def _fault_of_file(error: OSError, spool: Spool) -> str | None:
    if unusable := _unusable_folder(spool):
        return unusable
    if error.errno not in _REMEDIES:
        return None
    # A failed write names no file: what jobs write lies in the outbox.
    path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else spool.outbox
    if path.is_relative_to(spool.inbox):
        return None
    return _line(spool.outbox if path.is_relative_to(spool.outbox) else path, error.errno)


def _unusable_folder(spool: Spool) -> str | None:
    """Return the fault of the inbox or the outbox, such as a file system that is no longer mounted."""
    for folder in (spool.inbox, spool.outbox):
        try:
            os.listdir(folder)  # noqa: PTH208 - reads the folder, as iterdir does only when it is used
        except OSError as error:
            return _line(folder, error.errno)
    return None


def _line(path: Path, number: int | None) -> str:
    code = number or errno.EIO
    return f"{path}: {os.strerror(code)} ({errno.errorcode.get(code, code)}): {_REMEDIES.get(code, _MOUNT)}"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
