"""Reader of folders of slices with masks: MSD's whole slices (subjects.csv), or LIDC's nodules (nodules.csv).

Both are 8-bit pictures, `NNN.webp` with `NNN.mask.png` (0, 255) or `NNN.readers.png` (one bit for each reader).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.data.volume import Stack
from training.readers.case import Case, DataRefused, FoundCases, attempt
from training.readers.grey import Grey, read_binary, read_grey, read_readers, recalibrated

MSD_PIXEL_MM = 2 * 0.74
"""Used if subjects.csv has no estimate: the median of its estimates, on the grid of 256 pixels."""
MSD_SLICE_MM = 1.25
"""The collection does not state the slice spacing of MSD Task06; this is its usual value."""

Row = dict[str, str]


def slices(folder: Path) -> FoundCases:
    """Return the cases of either collection, recognised by its table."""
    if (folder / "subjects.csv").is_file():
        return _found(folder, "subjects.csv", _msd_cases)
    if (folder / "nodules.csv").is_file():
        return _found(folder, "nodules.csv", _lidc_cases)
    return FoundCases(
        cases=(), problems=("neither subjects.csv nor nodules.csv found: not a known collection of slices",)
    )


def msd_slices(folder: Path) -> Iterator[Stack]:
    """Read `Subject_k/NNN.webp` with `NNN.mask.png`; each run of consecutive NNN is a stack. Raises DataRefused."""
    return _stacks(folder, "subjects.csv", _msd_cases)


def lidc_slices(folder: Path) -> Iterator[Stack]:
    """Read nodule crops; the mask is the majority of the readers, see `majority`. Raises DataRefused."""
    return _stacks(folder, "nodules.csv", _lidc_cases)


def majority(readers: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return what at least half of the readers marked, of those with any pixel in the stack (bit r is reader r)."""
    marked = reader_masks(readers)
    return np.asarray(2 * sum(mask.astype(int) for mask in marked) >= len(marked)) & bool(marked)


def reader_masks(readers: NDArray[np.uint8]) -> list[NDArray[np.bool_]]:
    """Return each reader's mask, of those with any pixel in the stack (bit r is reader r)."""
    planes = [(readers >> bit) & 1 > 0 for bit in range(4)]
    return [plane for plane in planes if plane.any()]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """Consecutive slices: their files, and how to read a mask."""

    folder: Path
    at: str
    numbers: tuple[int, ...]
    mask_suffix: str
    read_mask: Callable[[Path], Grey]

    def files(self) -> dict[str, Path]:
        """Return the files by name."""
        suffixes = (".webp", self.mask_suffix)
        names = [f"{number:03d}{suffix}" for number in self.numbers for suffix in suffixes]
        return {f"{self.at}/{name}": self.folder / name for name in names}

    def read(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return the slices and their masks as stored. Raises DataRefused with the problems of all files."""
        problems: list[str] = []
        files = list(self.files().items())
        grey = [attempt(name, partial(read_grey, path), problems) for name, path in files[::2]]
        masks = [attempt(name, partial(self.read_mask, path), problems) for name, path in files[1::2]]
        planes = [plane for plane in (*grey, *masks) if plane is not None]
        sizes = {plane.shape for plane in planes}
        if len(sizes) > 1:
            problems.append(f"{self.at}: its slices and masks have {len(sizes)} sizes, expected one")
        if problems:
            raise DataRefused(*problems)
        return np.stack(planes[: len(grey)]), np.stack(planes[len(grey) :])


CasesOf = Callable[[Path, Row, list[str]], Iterator[Case]]


def _found(folder: Path, table: str, cases_of: CasesOf) -> FoundCases:
    problems: list[str] = []
    rows = attempt(table, lambda: _rows(folder / table), problems) or []
    cases: list[Case] = []
    for number, row in enumerate(rows, start=1):
        try:
            cases.extend(cases_of(folder, row, problems))
        except (KeyError, TypeError, ValueError):
            problems.append(f"{table}: row {number} lacks a column, or a number in it")
    return FoundCases(cases=tuple(cases), problems=tuple(problems))


def _stacks(folder: Path, table: str, cases_of: CasesOf) -> Iterator[Stack]:
    found = _found(folder, table, cases_of)
    if found.problems:
        raise DataRefused(*found.problems)
    return (case.read() for case in found.cases)


def _rows(path: Path) -> list[Row]:
    try:
        with path.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataRefused("cannot be read as a table") from error
    if not rows:
        raise DataRefused("has no row")
    return rows


def _msd_cases(folder: Path, row: Row, problems: list[str]) -> Iterator[Case]:
    subject = f"Subject_{row['subject']}"
    estimate = next((value for key, value in row.items() if key.startswith("pixel_spacing")), "")
    pixel = 2 * float(estimate) if estimate else MSD_PIXEL_MM
    for numbers in _runs(_numbers(folder / subject, subject, ".mask.png", int(row["n_slices"]), problems)):
        run = _Run(folder=folder / subject, at=subject, numbers=numbers, mask_suffix=".mask.png", read_mask=read_binary)
        name = f"{subject}/{numbers[0]:03d}"
        read = partial(_read_msd, run, subject, name, (MSD_SLICE_MM, pixel, pixel))
        yield Case(
            source="msd", patient=subject, name=name, files=run.files(), recipe=f"msd-slices 2 {pixel}", read=read
        )


def _lidc_cases(folder: Path, row: Row, problems: list[str]) -> Iterator[Case]:
    name = f"{row['patient_id']}/{row['nodule']}"
    pixel, spacing = float(row["pixel_spacing_mm"]), float(row["slice_spacing_mm"])
    numbers = _numbers(folder / name, name, ".readers.png", int(row["n_slices"]), problems)
    if numbers:
        run = _Run(
            folder=folder / name, at=name, numbers=tuple(numbers), mask_suffix=".readers.png", read_mask=read_readers
        )
        read = partial(_read_lidc, run, row["patient_id"], name, (spacing, pixel, pixel))
        recipe = f"lidc-slices 1 {spacing} {pixel}"
        yield Case(source="lidc", patient=row["patient_id"], name=name, files=run.files(), recipe=recipe, read=read)


def _read_msd(run: _Run, patient: str, name: str, spacing_mm: tuple[float, float, float]) -> Stack:
    """Read a run stored in NIfTI's axis order; rows are turned to run to posterior, columns to the left."""
    grey, masks = (planes.transpose(0, 2, 1)[:, ::-1] for planes in run.read())
    problems: list[str] = []
    hu = [
        attempt(f"{run.at}/{number:03d}.webp", partial(recalibrated, plane), problems)
        for number, plane in zip(run.numbers, grey, strict=True)
    ]
    if problems:
        raise DataRefused(*problems)
    return Stack(
        source="msd",
        patient=patient,
        name=name,
        hu=np.stack([plane for plane in hu if plane is not None]),
        mask=masks > 0,
        spacing_mm=spacing_mm,
        whole=True,
        first_slice=run.numbers[0],
        estimated=True,
    )


def _read_lidc(run: _Run, patient: str, name: str, spacing_mm: tuple[float, float, float]) -> Stack:
    grey, readers = run.read()
    return Stack(
        source="lidc",
        patient=patient,
        name=name,
        hu=grey.astype(np.int16) * 8 - 1000,
        mask=majority(readers),
        spacing_mm=spacing_mm,
        whole=False,
        readers=readers,
    )


def _numbers(folder: Path, at: str, mask_suffix: str, expected: int, problems: list[str]) -> list[int]:
    """Return the numbers of a folder's slices; if a slice or a mask is missing, add the problems and return none."""
    pictures = {path.name.removesuffix(".webp") for path in folder.glob("*.webp")}
    masks = {path.name.removesuffix(mask_suffix) for path in folder.glob(f"*{mask_suffix}")}
    before = len(problems)
    problems.extend(f"{at}/{name}{mask_suffix}: missing, but its slice exists" for name in sorted(pictures - masks))
    problems.extend(f"{at}/{name}.webp: missing, but its mask exists" for name in sorted(masks - pictures))
    if len(pictures) != expected:
        problems.append(f"{at}: {len(pictures)} slice(s), the table states {expected}")
    return sorted(map(int, pictures)) if len(problems) == before else []


def _runs(numbers: list[int]) -> list[tuple[int, ...]]:
    if not numbers:
        return []
    starts = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(numbers)) if b != a + 1), len(numbers)]
    return [tuple(numbers[a:b]) for a, b in pairwise(starts)]
