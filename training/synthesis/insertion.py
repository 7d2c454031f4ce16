"""Copies of stacks with inserted lesions, for training: any size, free, or on wall, mediastinum or vessels.

Lesions are inserted into single slices and into runs of slices, so that neither indicates a tumour by itself. The
copies are written into a folder and read from there: whole scans do not all fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
from rich.progress import track

from training.data import cache
from training.data.splits import as_text
from training.data.volume import Stack
from training.readers.case import DataRefused
from training.synthesis.lesions import LesionPatch, Spacing, insert, real, shaped
from training.synthesis.placement import Site, Sites

SOURCE = "synthetic"
SMALLEST_MM, LARGEST_MM = 3.0, 100.0
"""Diameters of generated lesions, drawn on a logarithmic scale; lesions that fit nowhere are drawn again."""
ENLARGED = (0.6, 2.0)
"""Scale factors of a real lesion, drawn on a logarithmic scale."""
MAX_LESIONS = 3
"""Most lesions inserted into a stack."""
TRIES = 8
FEWEST_SLICES = 3
"""Fewest slices of a real lesion: a cut lesion has no shape."""


def write_inserted(folder: Path, stacks: Sequence[Stack], copies: int, seed: int) -> None:
    """Write the result of `inserted` into a folder, and remove its previous content."""
    (folder / "stacks").mkdir(parents=True, exist_ok=True)
    cache.reopen(folder)
    shown = track(inserted(stacks, copies, seed), "inserting lesions", transient=True)
    cache.close(folder, [cache.write_stack(folder, stack, {}) for stack in shown], as_text({}))


def read_inserted(folder: Path, trained: Sequence[Stack]) -> list[Stack]:
    """Return the copies in a folder. Raises DataRefused if some are of patients that are not trained on."""
    copies = cache.read_stacks(folder)
    others = {copy.patient for copy in copies} - {stack.patient for stack in trained}
    if others:
        raise DataRefused(f"{folder}: contains {len(others)} held-back patients: insert again for this fold")
    return copies


def inserted(stacks: Sequence[Stack], copies: int, seed: int) -> Iterator[Stack]:
    """Yield up to `copies` copies of every whole stack with inserted lesions; copies in which none fits are left out.

    Half of the lesions are real ones of the given stacks, so held-back patients contribute none.
    """
    donors = [stack for stack in stacks if stack.marked_slices().sum() >= FEWEST_SLICES]
    for number, stack in enumerate(stack for stack in stacks if stack.whole):
        sites = Sites(np.asarray(stack.hu, np.float32), stack.spacing_mm)
        for copy in range(copies):
            copied = with_lesions(stack, sites, donors, np.random.default_rng([seed, number, copy]))
            if copied is not None:
                yield replace(copied, name=f"{stack.source}/{stack.name}+{copy}")


def with_lesions(stack: Stack, sites: Sites, donors: Sequence[Stack], rng: np.random.Generator) -> Stack | None:
    """Return the stack with 1 to MOST more lesions, half of them real ones of the donors; None if none is visible."""
    hu, mask = np.asarray(stack.hu, np.float32), np.asarray(stack.mask)
    before = int(mask.sum())
    remaining, kinds = int(rng.integers(1, MAX_LESIONS + 1)), get_args(Site)
    for _ in range(TRIES):
        if remaining == 0:
            break
        patch = _patch(donors, stack.spacing_mm, rng)
        place = sites.find(patch.radius_mm, kinds[int(rng.integers(len(kinds)))], rng)
        if place is not None:
            inserted_lesion = insert(hu, stack.spacing_mm, patch, place)
            if inserted_lesion.shows:
                hu, mask, remaining = inserted_lesion.hu, mask | inserted_lesion.mask, remaining - 1
    if int(mask.sum()) == before:
        return None
    return replace(stack, source=SOURCE, hu=np.asarray(np.rint(hu), np.int16), mask=mask)


def _patch(donors: Sequence[Stack], spacing: Spacing, rng: np.random.Generator) -> LesionPatch:
    if donors and rng.random() < 0.5:
        donor, scale = donors[int(rng.integers(len(donors)))], _drawn(*ENLARGED, rng)
        first, row, column = (size * scale for size in donor.spacing_mm)
        return real(np.asarray(donor.hu), np.asarray(donor.mask), (first, row, column), spacing, rng)
    return shaped(_drawn(SMALLEST_MM, LARGEST_MM, rng), spacing, rng)


def _drawn(low: float, high: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
