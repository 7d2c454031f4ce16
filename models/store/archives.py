"""Unpacks zip and tar archives of models: only files and folders below the target folder.

Links, devices and paths outside the folder are rejected; permissions in the archive are ignored.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

from models.segmenter import ModelError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_BYTES = 32 * 2**30
"""Largest unpacked size of an archive: an ensemble of five 3D networks has about 3 GiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """One entry of an archive; open: None for a folder."""

    name: str
    size: int
    open: Callable[[], IO[bytes]] | None


def is_archive(name: str) -> bool:
    """Return whether `unpack` supports a file of this name."""
    return name.lower().endswith(SUFFIXES)


def unpack(archive: Path, folder: Path) -> None:
    """Write an archive's files below `folder`. Raises ModelError before anything is written if a member is rejected.

    A damaged archive also raises ModelError; some of its files may then have been written.
    """
    try:
        with ExitStack() as opened:
            members = list(_members(archive, opened))
            for member in members:
                _check(member)
            if sum(member.size for member in members) > MAX_BYTES:
                raise ModelError(f"{archive.name}: contains more than {MAX_BYTES} bytes")
            for member in members:
                _write(member, folder)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
        raise ModelError(f"{archive.name}: cannot be unpacked: {error}") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise ModelError(f"{archive.name}: two members have the same path") from None


def _members(archive: Path, opened: ExitStack) -> Iterator[_Member]:
    if archive.name.lower().endswith(".zip"):
        packed = opened.enter_context(zipfile.ZipFile(archive))
        for entry in packed.infolist():
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise ModelError(f"{archive.name}: {entry.filename} is a link")
            reader = None if entry.is_dir() else partial(packed.open, entry)
            yield _Member(name=entry.filename, size=entry.file_size, open=reader)
        return
    tape = opened.enter_context(tarfile.open(archive))  # noqa: SIM115 - the caller closes it
    for item in tape:
        if not item.isreg() and not item.isdir():
            raise ModelError(f"{archive.name}: {item.name} is neither a file nor a folder")
        yield _Member(name=item.name, size=item.size, open=None if item.isdir() else partial(_open_member, tape, item))


def _open_member(tape: tarfile.TarFile, item: tarfile.TarInfo) -> IO[bytes]:
    file = tape.extractfile(item)
    if file is None:
        raise tarfile.TarError(f"{item.name} has no content")
    return file


def _check(member: _Member) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in member.name or "\0" in member.name:
        raise ModelError(f"{member.name!r}: path outside the archive's folder")


def _write(member: _Member, folder: Path) -> None:
    target = folder / PurePosixPath(member.name)
    if member.open is None:
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as packed, target.open("xb") as file:
        shutil.copyfileobj(packed, file)
