"""Cache of the prepared data on disk: one folder for each stack, and a manifest once all stacks are complete.

    CACHE/manifest.json                  the stacks, and the SHA-256 of every file that each was read from
    CACHE/splits.json                    the patients of train, validation, test and the folds
    CACHE/stacks/ID/hu.b2nd, mask.b2nd   Blosc2 arrays, (slice, row, column), compressed slice by slice; readers.b2nd
                                         too if more than one reader is known
    CACHE/stacks/ID/stack.json           its entry of the manifest, so that an interrupted prepare continues

A stack's folder is complete or absent.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from training.data.array import Slices, open_array, write_array
from training.data.volume import Stack
from training.readers.case import DataRefused

FORMAT = 1
IN_MEMORY_BYTES = 16 * 2**20
"""Arrays up to this size (crops, a few slices) are read at once; whole scans stay on disk."""
PARTIAL = ".partial-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """The manifest's entry of one stack.

    folder: its name below stacks/. recipe: how it was read. files: SHA-256 of each file that it was read from.
    """

    source: str
    patient: str
    name: str
    folder: str
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    whole: bool
    first_slice: int
    has_readers: bool
    tumour_slices: int
    tumour_ml: float
    recipe: str
    files: Mapping[str, str]
    estimated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The stacks of a completely prepared cache."""

    stacks: tuple[Entry, ...]


def write_stack(cache: Path, stack: Stack, hashes: Mapping[str, str], recipe: str = "") -> Entry:
    """Write a stack and return its entry; it replaces a stack of the same source and name atomically."""
    entry = _entry(stack, hashes, recipe)
    (cache / "stacks").mkdir(parents=True, exist_ok=True)
    hidden = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=cache / "stacks"))
    write_array(hidden / "hu.b2nd", stack.hu)
    write_array(hidden / "mask.b2nd", stack.mask)
    if stack.readers is not None:
        write_array(hidden / "readers.b2nd", stack.readers)
    _write_json(hidden / "stack.json", {"format": FORMAT, **asdict(entry)})
    for path in (*hidden.iterdir(), hidden):
        _sync(path)
    final = cache / "stacks" / entry.folder
    shutil.rmtree(final, ignore_errors=True)
    hidden.replace(final)
    return entry


def read_stacks(cache: Path, patients: Collection[str] | None = None) -> list[Stack]:
    """Return the stacks of these patients, or all; arrays of whole scans stay on disk and are read slice by slice.

    Raises DataRefused if a patient is not in the cache.
    """
    entries = [entry for entry in manifest(cache).stacks if patients is None or entry.patient in patients]
    missing = set(patients or ()) - {entry.patient for entry in entries}
    if missing:
        raise DataRefused(*(f"manifest.json: patient {patient} is not in the cache" for patient in sorted(missing)))
    return [_stack(cache / "stacks" / entry.folder, entry) for entry in entries]


def is_cache(folder: Path) -> bool:
    """Return whether a folder is a completely prepared cache."""
    return (folder / "manifest.json").is_file()


def manifest(cache: Path) -> Manifest:
    """Return the cache's manifest. Raises DataRefused if the cache is incomplete or of another format."""
    try:
        content = json.loads((cache / "manifest.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise DataRefused("manifest.json: missing, the cache is incomplete: run prepare again") from error
    if content["format"] != FORMAT:
        raise DataRefused(f"manifest.json: format {content['format']}, {FORMAT} is needed: run prepare again")
    return Manifest(stacks=tuple(map(_from_json, content["stacks"])))


def stored_entries(cache: Path) -> dict[tuple[str, str], Entry]:
    """Return the stored entries by source and name, also of an incomplete cache."""
    found = [_stored_entry(path) for path in sorted((cache / "stacks").glob("[!.]*/stack.json"))]
    return {(entry.source, entry.name): entry for entry in found if entry is not None}


def reopen(cache: Path) -> None:
    """Remove the manifest before a change, and partial stacks of an interrupted prepare."""
    (cache / "manifest.json").unlink(missing_ok=True)
    for path in (cache / "stacks").glob(f"{PARTIAL}*"):
        shutil.rmtree(path)


def close(cache: Path, entries: Iterable[Entry], splits: str) -> Manifest:
    """Write the splits, then the manifest, and return it; stacks that are not among the entries are removed."""
    whole = Manifest(stacks=tuple(sorted(entries, key=lambda entry: (entry.source, entry.name))))
    kept = {entry.folder for entry in whole.stacks}
    for path in (cache / "stacks").iterdir():
        if path.name not in kept:
            shutil.rmtree(path)
    _replace(cache / "splits.json", splits)
    _replace(cache / "manifest.json", _as_json({"format": FORMAT, "stacks": [asdict(entry) for entry in whole.stacks]}))
    return whole


def _entry(stack: Stack, hashes: Mapping[str, str], recipe: str) -> Entry:
    slices, rows, columns = stack.hu.shape
    return Entry(
        source=stack.source,
        patient=stack.patient,
        name=stack.name,
        folder=_folder(stack.source, stack.name),
        shape=(slices, rows, columns),
        spacing_mm=stack.spacing_mm,
        whole=stack.whole,
        first_slice=stack.first_slice,
        has_readers=stack.readers is not None,
        tumour_slices=int(stack.marked_slices().sum()),
        tumour_ml=round(int(np.asarray(stack.mask).sum()) * float(np.prod(stack.spacing_mm)) / 1000, 4),
        recipe=recipe,
        files=dict(hashes),
        estimated=stack.estimated,
    )


def _folder(source: str, name: str) -> str:
    """Return a readable folder name that is unique for this source and name."""
    digest = hashlib.sha256(f"{source}\n{name}".encode()).hexdigest()[:10]
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '_', f'{source}-{name}')[:60]}-{digest}"


def _stack(folder: Path, entry: Entry) -> Stack:
    return Stack(
        source=entry.source,
        patient=entry.patient,
        name=entry.name,
        hu=_array(folder / "hu.b2nd"),
        mask=_array(folder / "mask.b2nd"),
        spacing_mm=entry.spacing_mm,
        whole=entry.whole,
        first_slice=entry.first_slice,
        readers=_array(folder / "readers.b2nd") if entry.has_readers else None,
        estimated=entry.estimated,
    )


def _array(path: Path) -> Slices:
    array = open_array(str(path))
    return np.asarray(array) if math.prod(array.shape) * array.dtype.itemsize <= IN_MEMORY_BYTES else array


def _stored_entry(path: Path) -> Entry | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return _from_json(content) if content.pop("format") == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _from_json(content: dict[str, Any]) -> Entry:
    entry = Entry(**{key: value for key, value in content.items() if key != "format"})
    slices, rows, columns = entry.shape
    along, down, across = entry.spacing_mm
    return replace(entry, shape=(slices, rows, columns), spacing_mm=(along, down, across))


def _as_json(content: object) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _write_json(path: Path, content: object) -> None:
    path.write_text(_as_json(content), encoding="utf-8")


def _replace(path: Path, text: str) -> None:
    """Replace a file atomically."""
    hidden = path.with_name(f".{path.name}")
    hidden.write_text(text, encoding="utf-8")
    _sync(hidden)
    hidden.replace(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
