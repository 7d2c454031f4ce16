"""Writes files and folders that outlive a power cut."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from dicom_node.storage.encoded_file import Encoded, pieces_of
from dicom_node.storage.private_folder import PRIVATE


def make_folder(folder: Path) -> None:
    """Create the folder, and sync its parent."""
    try:
        folder.mkdir(mode=PRIVATE)
    except FileExistsError:
        return
    sync(folder.parent)


def write_atomically(path: Path, parts: Iterable[Encoded]) -> None:
    """Write a private file that gets its name once its content is on disk; it replaces a previous one."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        hidden = f".{secrets.token_hex(8)}.part"
        try:
            _write_synced(hidden, parts, folder)
            os.rename(hidden, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(hidden, dir_fd=folder)
            raise
        os.fsync(folder)
    finally:
        os.close(folder)


def _write_synced(name: str, parts: Iterable[Encoded], folder: int) -> None:
    """Write a new file of a folder, given by its descriptor, and sync its content."""
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    with open(descriptor, "wb", buffering=0) as file:  # noqa: PTH123 - a descriptor, not a path
        for part in parts:
            for piece in pieces_of(part):
                view = memoryview(piece)
                while view:
                    view = view[file.write(view) :]
        os.fsync(descriptor)


def sync(path: Path) -> None:
    """Wait until the content of a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
