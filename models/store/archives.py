"""Unpacks zip and tar archives of models: only files and folders below the target folder.

Links, devices and paths outside the folder are rejected; leading slashes, owners and special mode bits are ignored.
"""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from models.segmenter import ModelError

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
MAX_BYTES = 32 * 2**30
"""Largest unpacked size of an archive: an ensemble of five 3D networks has about 3 GiB."""
MAX_MEMBERS = 10_000
"""Most files and folders of an archive."""


def is_archive(name: str) -> bool:
    """Return whether `unpack` supports a file of this name."""
    return name.lower().endswith(SUFFIXES)


def unpack(archive: Path, folder: Path) -> None:
    """Write an archive's files below `folder`. Raises ModelError before anything is written if a member is rejected.

    A damaged archive also raises ModelError; some of its files may then have been written. Python 3.11.0 to 3.11.3 have
    no extraction filters (PEP 706): there every archive is rejected.
    """
    if not hasattr(tarfile, "data_filter"):
        raise ModelError(f"{archive.name}: Python 3.11.4 or later is needed to unpack an archive")
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as packed:
                _check(map(_as_tar_member, packed.infolist()), folder)
                packed.extractall(folder)  # noqa: S202 - checked, and a zip's modes are ignored
        else:
            with tarfile.open(archive) as packed:
                _check(packed, folder)
                packed.extractall(folder, filter="data")
    except ModelError as rejected:
        raise ModelError(f"{archive.name}: {rejected}") from None
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError) as error:
        raise ModelError(f"{archive.name}: cannot be unpacked: {error}") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise ModelError(f"{archive.name}: two members have the same path") from None


def _as_tar_member(entry: zipfile.ZipInfo) -> tarfile.TarInfo:
    """Return a zip's entry as a member of a tar, so that both are checked alike."""
    member = tarfile.TarInfo(entry.filename)
    member.size = entry.file_size
    if entry.is_dir():
        member.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(entry.external_attr >> 16):
        member.type = tarfile.SYMTYPE
    return member


def _check(members: Iterable[tarfile.TarInfo], folder: Path) -> None:
    """Raise ModelError for a member that is rejected, tarfile.FilterError for a path outside the folder."""
    files: set[PurePosixPath] = set()
    size = 0
    for number, member in enumerate(members, start=1):
        size += member.size
        if number > MAX_MEMBERS or size > MAX_BYTES:
            raise ModelError(f"contains more than {MAX_MEMBERS} members or {MAX_BYTES} bytes")
        # Also links within the folder, which `data_filter` allows: it can be deceived by them (CVE-2025-4517).
        if not member.isreg() and not member.isdir():
            raise ModelError(f"{member.name} is neither a file nor a folder")
        path = PurePosixPath(tarfile.data_filter(member, str(folder)).name)
        if member.isreg() and path in files:
            raise ModelError("two members have the same path")
        files.add(path)
