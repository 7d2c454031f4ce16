"""Hashes the files of every case, and finds the cases that the cache already holds unchanged."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.data.cache import Entry
from training.readers.case import Case, DataRefused


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHashPlan:
    """A case and its file hashes by name. entry: the cache's entry if it is current; None if the case must be read."""

    case: Case
    source: str
    hashes: Mapping[str, str]
    entry: Entry | None


class FileHashes:
    """SHA-256 of files; a file is hashed again only if its size or modification time has changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], str]] = {}

    def of(self, case: Case) -> dict[str, str]:
        """Return the SHA-256 of a case's files by name. Raises DataRefused if a file cannot be read."""
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
    """Return the plan for a case, and why it must be read again ("" if it need not).

    held: the cache's entry of the case, or None.
    """
    if held is None or (held.files == hashes and held.recipe == case.recipe):
        return FileHashPlan(case=case, source=source, hashes=hashes, entry=held), ""
    changed = [name for name, digest in hashes.items() if held.files.get(name) != digest]
    why = f"{changed[0]} has changed" if changed else "the reader's settings have changed"
    return FileHashPlan(
        case=case, source=source, hashes=hashes, entry=None
    ), f"{case.name}: {why} since it was prepared: read again"
