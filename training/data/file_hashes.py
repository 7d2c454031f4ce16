"""Hashes the files of every case, and says which cases the cache holds as their files are now. Reads no pixels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.data.cache import Entry
from training.readers.case import Case, DataRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHashPlan:
    """A case of a source. hashes: SHA-256 of its files by name. entry: what the cache holds; None: it is to be read."""

    case: Case
    source: str
    hashes: Mapping[str, str]
    entry: Entry | None


class FileHashes:
    """The SHA-256 of files; a file is read again only when its size or its time of change is another."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], str]] = {}

    def of(self, case: Case) -> dict[str, str]:
        """Return the SHA-256 of a case's files by name. Raises DataRefused for one that cannot be read."""
        return {name: self._digest(name, path) for name, path in case.files.items()}

    def _digest(self, name: str, path: Path) -> str:
        try:
            status = path.stat()
            state = (status.st_size, status.st_mtime_ns)
            if path not in self._known or self._known[path][0] != state:
                with path.open("rb") as file:
                    self._known[path] = state, hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise DataRefused(f"{name}: cannot be read: {error.strerror}") from error
        return self._known[path][1]


def plan(case: Case, source: str, hashes: Mapping[str, str], held: Entry | None) -> tuple[FileHashPlan, str]:
    """Return the plan for a case of which the cache holds this entry, and why that is read again, "" if it is not."""
    if held is None or (held.files == hashes and held.recipe == case.recipe):
        return FileHashPlan(case=case, source=source, hashes=hashes, entry=held), ""
    changed = [name for name, digest in hashes.items() if held.files.get(name) != digest]
    why = f"{changed[0]} has changed" if changed else "it is read in another way"
    return FileHashPlan(
        case=case, source=source, hashes=hashes, entry=None
    ), f"{case.name}: {why} since it was prepared: read again"
