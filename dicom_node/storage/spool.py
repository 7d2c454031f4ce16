"""The folders of the data directory, known only here. Knows no states of jobs.

    inbox/<series_uid>/<sop_uid>.dcm     what was received
    outbox/<job_key>/...                 what is to be sent, complete from the moment it is visible
    journal.db  redis/  .lock  .salt

A file or folder appears under its name only when all of it is on the disk. Everything is private to the user.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from dicom_node.errors import DataDirInUse, InvalidUid, SpoolFull

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_JOB_KEY = re.compile(r"[0-9a-f]{64}")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_PRIVATE = 0o700
_ORPHAN_S = 86400.0
_SALT_BYTES = 32

Bytes = bytes | bytearray | memoryview


def journal_file(data_dir: Path) -> Path:
    """Return where the SQLite journal lies."""
    return data_dir.resolve() / "journal.db"


def redis_folder(data_dir: Path) -> Path:
    """Return where the embedded Redis keeps its files."""
    return data_dir.resolve() / "redis"


def patient_salt(data_dir: Path) -> bytes:
    """Return the secret that patients' keys are made with; it is drawn once, and never leaves the disk."""
    file = data_dir.resolve() / ".salt"
    if not file.exists():
        file.parent.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
        _write_whole(file, [secrets.token_bytes(_SALT_BYTES)])
    return file.read_bytes()


def checked_uid(uid: str) -> str:
    """Return the UID. Raises InvalidUid when it is none, so that it is safe as a file name."""
    # PS3.5 9.1: digits and dots, at most 64 characters. A leading zero in a component is wrong, too, but real.
    if len(uid) > 64 or not _UID.fullmatch(uid):
        raise InvalidUid(f"not a UID: {len(uid)} characters, allowed are at most 64 digits and dots")
    return uid


@contextlib.contextmanager
def sole_use(data_dir: Path) -> Iterator[None]:
    """Hold the data directory for one `lungspread serve`. Raises DataDirInUse."""
    data_dir.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    with (data_dir / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirInUse(f"another `lungspread serve` runs on {data_dir.resolve()}") from None
        yield


class Spool:
    """Received instances and finished results, as files."""

    def __init__(self, data_dir: Path, min_free_mb: int = 0) -> None:
        self.inbox = data_dir.resolve() / "inbox"
        self.outbox = data_dir.resolve() / "outbox"
        self._min_free = min_free_mb * 1024 * 1024
        self._making_folder = threading.Lock()
        for folder in (self.inbox, self.outbox):
            folder.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)

    def instance_path(self, series_uid: str, sop_instance_uid: str) -> Path:
        """Return where an instance lies, or will lie."""
        return self.inbox / checked_uid(series_uid) / f"{checked_uid(sop_instance_uid)}.dcm"

    def instance_paths(self, series_uid: str, sop_instance_uids: Iterable[str]) -> list[Path]:
        """Return where the instances of a series lie, in the order given."""
        return [self.instance_path(series_uid, uid) for uid in sop_instance_uids]

    def write_instance(self, series_uid: str, sop_instance_uid: str, *parts: Bytes) -> Path:
        """Put an instance (its parts joined) on the disk, for good when this returns.

        Raises InvalidUid, and SpoolFull when there is no room.
        """
        path = self.instance_path(series_uid, sop_instance_uid)
        self.require_room(sum(len(part) for part in parts))
        with _no_room_is_spool_full():
            with self._making_folder:  # nobody writes into a folder whose own name is not on the disk yet
                _make_folder(path.parent)
            _write_whole(path, parts)
        return path

    def require_room(self, size: int = 0) -> None:
        """Raise SpoolFull when less than `node.min_free_mb` would be left after `size` more bytes."""
        free = shutil.disk_usage(self.inbox).free
        if free - size < self._min_free:
            raise SpoolFull(f"{free >> 20} MiB are free, node.min_free_mb is {self._min_free >> 20}")

    def document_path(self, job_key: str, file_name: str) -> Path:
        """Return where a document of a finished job lies."""
        return self._job_folder(job_key) / Path(file_name).name

    @contextlib.contextmanager
    def new_outbox(self, job_key: str) -> Iterator[Path]:
        """Give a hidden folder to write results into; what was not published is removed at the end.

        Only the holder of the job's lease may ask: hidden folders that earlier attempts left are removed.
        Raises SpoolFull when there is no room, for what the caller writes, too.
        """
        for left in self.outbox.glob(f".{self._job_folder(job_key).name}.*"):
            shutil.rmtree(left, ignore_errors=True)
        with _no_room_is_spool_full():
            folder = Path(tempfile.mkdtemp(prefix=f".{job_key}.", dir=self.outbox))
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def publish(self, folder: Path, job_key: str) -> Path:
        """Make a hidden folder the job's outbox folder, whole and on the disk, in place of an earlier one."""
        target = self._job_folder(job_key)
        for file in folder.iterdir():
            _sync(file)
        _sync(folder)
        if target.exists():
            target.rename(folder.with_name(f"{folder.name}.replaced"))
        folder.rename(target)
        _sync(self.outbox)
        shutil.rmtree(folder.with_name(f"{folder.name}.replaced"), ignore_errors=True)
        return target

    def remove_series(self, series_uid: str) -> None:
        """Remove all received instances of a series; what arrives meanwhile goes into a folder of its own."""
        leaving = self.inbox / f".{checked_uid(series_uid)}.removed"
        shutil.rmtree(leaving, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            (self.inbox / series_uid).rename(leaving)
        shutil.rmtree(leaving, ignore_errors=True)

    def remove_orphans(self) -> int:
        """Remove what a killed process left half-written, and return how many; for the node's start.

        Nobody else writes into the inbox. A hidden outbox folder may belong to a worker that is alive: it must be old.
        """
        files = list(self.inbox.glob("*/.*.part"))
        for file in files:
            file.unlink(missing_ok=True)
        old = [left for left in self.outbox.glob(".*") if left.stat().st_mtime < time.time() - _ORPHAN_S]
        folders = [*self.inbox.glob(".*.removed"), *old]
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        return len(files) + len(folders)

    def _job_folder(self, job_key: str) -> Path:
        if not _JOB_KEY.fullmatch(job_key):
            raise InvalidUid("not a job key: 64 hexadecimal digits")
        return self.outbox / job_key


def _make_folder(folder: Path) -> None:
    """Make the folder, and its name in its parent lasting."""
    try:
        folder.mkdir(mode=_PRIVATE)
    except FileExistsError:
        return
    _sync(folder.parent)


def _write_whole(path: Path, parts: Iterable[Bytes]) -> None:
    descriptor, hidden = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, not a path
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        Path(hidden).rename(path)
    except BaseException:
        Path(hidden).unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Wait until a file's content, or a folder's names, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _no_room_is_spool_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise SpoolFull(f"the disk answered {errno.errorcode[error.errno]}") from error
        raise
