"""Checks data sets, reads them as stacks, and writes them into a cache: all of it, or nothing.

Every file is hashed and every case is read before anything is written, and everything that is wrong is said at once. So
a case is read twice, once to check and once to write: no more than one scan is in memory, and what is refused leaves a
cache as it was. What is in the cache already and whose files have the same hashes is not read again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import track

from training.data import cache
from training.data.duplicates import duplicates
from training.data.file_hashes import FileHashes, FileHashPlan, plan
from training.data.splits import Split, absent, as_text, collection_of, draw_splits, overlaps
from training.readers.case import Case, DataRefused, Found
from training.readers.cubes import cubes
from training.readers.dicom import Choice, dicom
from training.readers.msd import msd
from training.readers.outline import Tumour
from training.readers.slices import slices

KINDS = ("msd", "slices", "cubes", "dicom", "corrected")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Data of one layout in one place. kind: one of KINDS."""

    kind: str
    path: Path

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to prepare. splits: a committed file, or None to draw a split with so many folds."""

    sources: tuple[Source, ...]
    cache: Path
    splits: Path | None = None
    folds: int = 5
    tumour: Tumour = field(default_factory=Tumour)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What came of it. read: how many stacks were read and written, the others were there. notes: worth saying."""

    manifest: cache.Manifest
    read: int
    notes: tuple[str, ...]


def parse_source(text: str) -> Source:
    """Return a source written as KIND:PATH."""
    kind, colon, path = text.partition(":")
    if not colon or kind not in KINDS:
        raise DataRefused(f"--source {text}: KIND:PATH is needed, KIND one of {', '.join(KINDS)}")
    return Source(kind=kind, path=Path(path))


def prepare(request: Request) -> Prepared:
    """Check everything, then write what the cache lacks. Raises DataRefused with all problems, nothing written then."""
    found = {source: _find(source, request.tumour) for source in request.sources}
    problems = [f"{source}: {problem}" for source, one in found.items() for problem in one.problems]
    notes = [f"{source}: {note}" for source, one in found.items() for note in one.notes]
    plans = list(_plans(found, request.cache, problems, notes))
    new = [planned for planned in plans if planned.entry is None]
    problems += duplicates(plans)
    for planned in _shown(new, "checking"):
        problems += _facts(planned)
    splits = _splits(request, [planned.case for planned in plans], problems, notes)
    if problems:
        raise DataRefused(*problems)
    cache.reopen(request.cache)
    entries = [planned.entry for planned in plans if planned.entry is not None]
    for planned in _shown(new, "writing"):
        entries.append(_write(request.cache, planned))
    whole = cache.close(request.cache, entries, splits)
    return Prepared(manifest=whole, read=len(new), notes=tuple(notes))


def summary(prepared: Prepared) -> list[str]:
    """Return what the cache holds, a line for each source."""
    lines = []
    stacks = prepared.manifest.stacks
    for source in sorted({entry.source for entry in stacks}):
        own = [entry for entry in stacks if entry.source == source]
        slices = sum(entry.shape[0] for entry in own)
        with_tumour, ml = sum(entry.tumour_slices for entry in own), sum(entry.tumour_ml for entry in own)
        patients = len({entry.patient for entry in own})
        lines.append(
            f"{source}: {patients} patients, {len(own)} stacks, {slices} slices, {with_tumour} with tumour, {ml:.1f} ml"
        )
    return [*lines, f"{prepared.read} stacks read, {len(stacks) - prepared.read} were there"]


def _find(source: Source, tumour: Tumour) -> Found:
    readers: dict[str, Callable[[Path], Found]] = {
        "msd": msd,
        "slices": slices,
        "cubes": cubes,
        "dicom": partial(dicom, choice=Choice(source="dicom", tumour=tumour)),
        "corrected": partial(dicom, choice=Choice(source="corrected", tumour=tumour)),
    }
    if not source.path.is_dir() and not (source.kind == "cubes" and source.path.is_file()):
        return Found(cases=(), problems=("is not there, or is no folder",))
    return readers[source.kind](source.path)


def _plans(
    found: Mapping[Source, Found], folder: Path, problems: list[str], notes: list[str]
) -> Iterator[FileHashPlan]:
    """Plan every case; one whose files cannot be hashed is a problem, one that is read again a note."""
    files, held = FileHashes(), cache.written(folder)
    cases = [(case, str(source)) for source, one in found.items() for case in one.cases]
    for case, source in _shown(cases, "hashing"):
        try:
            planned, why = plan(case, source, files.of(case), held.get((case.source, case.name)))
        except DataRefused as refused:
            problems.extend(f"{source}: {fact}" for fact in refused.problems)
            continue
        notes.extend([why] if why else [])
        yield planned


def _facts(planned: FileHashPlan) -> list[str]:
    """Return what is wrong with a case's files."""
    try:
        planned.case.read()
    except DataRefused as refused:
        return [f"{planned.source}: {fact}" for fact in refused.problems]
    return []


def _write(folder: Path, planned: FileHashPlan) -> cache.Entry:
    """Write a case, unless its files are no longer those that were checked."""
    stack = planned.case.read()
    changed = [name for name, digest in FileHashes().of(planned.case).items() if digest != planned.hashes[name]]
    if changed:
        raise DataRefused(*(f"{name}: changed while it was prepared: run prepare again" for name in changed))
    return cache.write_stack(folder, stack, planned.hashes, planned.case.recipe)


def _splits(request: Request, cases: Iterable[Case], problems: list[str], notes: list[str]) -> str:
    """Return the text of the splits: as drawn, or as committed and fitting the data."""
    patients: dict[str, set[str]] = defaultdict(set)
    for case in cases:
        patients[collection_of(case.source)].add(case.patient)
    if request.splits is None:
        return as_text(draw_splits(patients, request.folds))
    name = request.splits.name
    try:
        text = request.splits.read_text(encoding="utf-8")
        splits: dict[str, Split] = json.loads(text)
        problems += [f"{name}: {fact}" for fact in overlaps(splits) + absent(splits, patients)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        problems.append(f'{name}: not a file of splits: {{"msd": {{"train": [], "validation": [], "test": []}}}}')
        return ""
    for collection, everyone in patients.items():
        unused = everyone.difference(*splits.get(collection, {}).values())
        if unused:
            notes.append(f"{name}: {len(unused)} patient(s) of {collection} stand in no part and are not used")
    return text


def _shown(items: Sequence[Item], what: str) -> Iterable[Item]:
    """Go through the items with a progress bar on a terminal."""
    console = Console(stderr=True)
    return track(items, what, console=console, transient=True, disable=not console.is_terminal)
