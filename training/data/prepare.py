"""Checks data sets, reads them as stacks and writes them into a cache, or writes nothing.

Every file is hashed and every case is read before anything is written, and all problems are reported together. A case
is therefore read twice, to check and to write: at most one scan is in memory, and refused data leaves the cache
unchanged. Cases that the cache holds with the same file hashes are not read again.
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
from training.readers.case import Case, DataRefused, FoundCases
from training.readers.cubes import cubes
from training.readers.dicom import OutlineChoice, dicom
from training.readers.msd import msd
from training.readers.outline import TumourNames
from training.readers.slices import slices

KINDS = ("msd", "slices", "cubes", "dicom", "corrected")
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSource:
    """A data set: its layout, one of KINDS, and its path."""

    kind: str
    path: Path

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to prepare. splits: an existing file, or None to draw a split with this number of folds."""

    sources: tuple[DataSource, ...]
    cache: Path
    splits: Path | None = None
    folds: int = 5
    tumour: TumourNames = field(default_factory=TumourNames)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The result. read: number of stacks that were read and written; the others were in the cache."""

    manifest: cache.Manifest
    read: int
    notes: tuple[str, ...]


def parse_source(text: str) -> DataSource:
    """Return a source written as KIND:PATH. Raises DataRefused for any other text."""
    kind, colon, path = text.partition(":")
    if not colon or kind not in KINDS:
        raise DataRefused(f"--source {text}: KIND:PATH is needed, KIND one of {', '.join(KINDS)}")
    return DataSource(kind=kind, path=Path(path))


def prepare(request: Request) -> Prepared:
    """Check everything, then write the missing stacks. Raises DataRefused with all problems, before any write."""
    found = {source: _find(source, request.tumour) for source in request.sources}
    problems = [f"{source}: {problem}" for source, one in found.items() for problem in one.problems]
    notes = [f"{source}: {note}" for source, one in found.items() for note in one.notes]
    plans = list(_plans(found, request.cache, problems, notes))
    new = [planned for planned in plans if planned.entry is None]
    problems += duplicates(plans)
    for planned in _with_progress(new, "checking"):
        problems += _facts(planned)
    splits = _splits(request, [planned.case for planned in plans], problems, notes)
    if problems:
        raise DataRefused(*problems)
    cache.reopen(request.cache)
    entries = [planned.entry for planned in plans if planned.entry is not None]
    for planned in _with_progress(new, "writing"):
        entries.append(_write(request.cache, planned))
    whole = cache.close(request.cache, entries, splits)
    return Prepared(manifest=whole, read=len(new), notes=tuple(notes))


def summary(prepared: Prepared) -> list[str]:
    """Return one line for each source of the cache, and one on how many stacks were read."""
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
    return [*lines, f"{prepared.read} stacks read, {len(stacks) - prepared.read} were in the cache"]


def _find(source: DataSource, tumour: TumourNames) -> FoundCases:
    readers: dict[str, Callable[[Path], FoundCases]] = {
        "msd": msd,
        "slices": slices,
        "cubes": cubes,
        "dicom": partial(dicom, choice=OutlineChoice(source="dicom", tumour=tumour)),
        "corrected": partial(dicom, choice=OutlineChoice(source="corrected", tumour=tumour)),
    }
    if not source.path.is_dir() and not (source.kind == "cubes" and source.path.is_file()):
        return FoundCases(cases=(), problems=("does not exist or is not a folder",))
    return readers[source.kind](source.path)


def _plans(
    found: Mapping[DataSource, FoundCases], folder: Path, problems: list[str], notes: list[str]
) -> Iterator[FileHashPlan]:
    """Plan every case; a case whose files cannot be hashed adds a problem, one that is read again a note."""
    files, held = FileHashes(), cache.stored_entries(folder)
    cases = [(case, str(source)) for source, one in found.items() for case in one.cases]
    for case, source in _with_progress(cases, "hashing"):
        try:
            planned, why = plan(case, source, files.of(case), held.get((case.source, case.name)))
        except DataRefused as refused:
            problems.extend(f"{source}: {fact}" for fact in refused.problems)
            continue
        notes.extend([why] if why else [])
        yield planned


def _facts(planned: FileHashPlan) -> list[str]:
    """Return the problems of a case's files."""
    try:
        planned.case.read()
    except DataRefused as refused:
        return [f"{planned.source}: {fact}" for fact in refused.problems]
    return []


def _write(folder: Path, planned: FileHashPlan) -> cache.Entry:
    """Write a case. Raises DataRefused if its files have changed since they were checked."""
    stack = planned.case.read()
    changed = [name for name, digest in FileHashes().of(planned.case).items() if digest != planned.hashes[name]]
    if changed:
        raise DataRefused(*(f"{name}: changed during preparation: run prepare again" for name in changed))
    return cache.write_stack(folder, stack, planned.hashes, planned.case.recipe)


def _splits(request: Request, cases: Iterable[Case], problems: list[str], notes: list[str]) -> str:
    """Return the text of the splits: newly drawn, or the given file after a check against the data."""
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
            notes.append(f"{name}: {len(unused)} patient(s) of {collection} are in no part and are not used")
    return text


def _with_progress(items: Sequence[Item], what: str) -> Iterable[Item]:
    """Iterate over the items, with a progress bar on a terminal."""
    console = Console(stderr=True)
    return track(items, what, console=console, transient=True, disable=not console.is_terminal)
