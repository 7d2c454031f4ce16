"""Copies of stacks with more lesions put in, to train on: any size, on wall, mediastinum and vessels, or free.

In a lone slice as in a run of them, so that neither says by itself whether there is a tumour. They are written into a
folder and read from there: whole scans do not all fit into memory.
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
from training.synthesis.lesions import Body, Spacing, insert, real, shaped
from training.synthesis.placement import Site, Sites

SOURCE = "synthetic"
SMALLEST_MM, LARGEST_MM = 3.0, 100.0
"""Diameters of generated lesions, drawn on a logarithmic scale; what fits nowhere is drawn anew."""
ENLARGED = (0.6, 2.0)
"""Times that a real lesion is enlarged, drawn on a logarithmic scale."""
MOST = 3
"""Lesions in a stack."""
TRIES = 8
FEWEST_SLICES = 3
"""Of a real lesion: one that is cut off has no shape."""


def write_inserted(folder: Path, stacks: Sequence[Stack], copies: int, seed: int) -> None:
    """Write what `inserted` yields into a folder, in place of what was there."""
    (folder / "stacks").mkdir(parents=True, exist_ok=True)
    cache.reopen(folder)
    shown = track(inserted(stacks, copies, seed), "putting lesions in", transient=True)
    cache.close(folder, [cache.write_stack(folder, stack, {}) for stack in shown], as_text({}))


def read_inserted(folder: Path, trained: Sequence[Stack]) -> list[Stack]:
    """Return the copies of a folder. Raises DataRefused where some are of patients who are not trained on."""
    copies = cache.read_stacks(folder)
    others = {copy.patient for copy in copies} - {stack.patient for stack in trained}
    if others:
        raise DataRefused(f"{folder}: copies of {len(others)} patients who are held back: insert again for this fold")
    return copies


def inserted(stacks: Sequence[Stack], copies: int, seed: int) -> Iterator[Stack]:
    """Yield so many copies of every whole stack with lesions put in, where any fits.

    Half of them are lesions of the stacks themselves: whoever is held back gives none.
    """
    donors = [stack for stack in stacks if (stack.mask.any((1, 2))).sum() >= FEWEST_SLICES]
    for number, stack in enumerate(stack for stack in stacks if stack.whole):
        sites = Sites(stack.hu.astype(np.float32), stack.spacing_mm)
        for copy in range(copies):
            richer = with_lesions(stack, sites, donors, np.random.default_rng([seed, number, copy]))
            if richer is not None:
                yield replace(richer, name=f"{stack.source}/{stack.name}+{copy}")


def with_lesions(stack: Stack, sites: Sites, donors: Sequence[Stack], rng: np.random.Generator) -> Stack | None:
    """Return the stack with one to MOST lesions more, half of them real ones of the donors; None where none shows."""
    hu, mask, before = stack.hu.astype(np.float32), stack.mask.copy(), int(stack.mask.sum())
    wanted, kinds = int(rng.integers(1, MOST + 1)), get_args(Site)
    for _ in range(TRIES):
        if wanted == 0:
            break
        body = _body(donors, stack.spacing_mm, rng)
        place = sites.find(body.radius_mm, kinds[int(rng.integers(len(kinds)))], rng)
        if place is not None:
            put = insert(hu, stack.spacing_mm, body, place)
            if put.shows:
                hu, mask, wanted = put.hu, mask | put.mask, wanted - 1
    if int(mask.sum()) == before:
        return None
    return replace(stack, source=SOURCE, hu=np.asarray(np.rint(hu), np.int16), mask=mask)


def _body(donors: Sequence[Stack], spacing: Spacing, rng: np.random.Generator) -> Body:
    if donors and rng.random() < 0.5:
        donor, times = donors[int(rng.integers(len(donors)))], _drawn(*ENLARGED, rng)
        first, row, column = (size * times for size in donor.spacing_mm)
        return real(donor.hu, donor.mask, (first, row, column), spacing, rng)
    return shaped(_drawn(SMALLEST_MM, LARGEST_MM, rng), spacing, rng)


def _drawn(low: float, high: float, rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
