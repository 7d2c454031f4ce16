"""The cascade: one network looks at whole slices, the whole ensemble only at what that one takes for a candidate.

Candidates that a few networks agree to be none are dropped on the way. The constants were chosen by what they keep: on
all whole scans at hand the mask is that of the whole ensemble (figures: models/lung_tumour/README.md, "Speed").
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.lung_tumour.ensemble import Ensemble, Look
from models.lung_tumour.network import MULTIPLE
from models.lung_tumour.scoring import odds_divisor
from models.lung_tumour.slice_stack import SliceStack, Window
from models.lung_tumour.transforms import PIXEL_MM
from models.segmenter import Progress

SEED_LOGIT, PEAK_LOGIT = -1.4, 2.0
"""A candidate is where the first network's logit exceeds the first number (a probability of 0.2), if it exceeds the
second one in any voxel there; of lesions on the scans at hand the least had 3.3.
"""
SEED_STEP_MM = 2.0
"""Thinner slices are not all looked at by the first network."""
SMALLEST_SEED_ML = 0.03
"""A third of the smallest lesion that is reported: fewer voxels are no candidate."""
AROUND_MM, AROUND_SLICES_MM = 5.0, 4.0
"""How far around a seed the others look, within the slice and across slices."""
CONTEXT, FIRST_CONTEXT = 96, 32
"""Pixels that the networks see besides: around a candidate, and around the lungs' box by the first network.

With less, what lies at the diaphragm or the hilum is taken for a lesion that is none on the whole slice.
"""
GRID = MULTIPLE
"""Windows begin at multiples of this, as the networks' own grids do."""
STAGES = ((2, 2.9), (4, 1.9))
"""After so many looks a candidate is dropped whose score is still so far, in logits, below the one that a lesion needs.

Of lesions on the scans at hand none was more than 0.7 below it by then.
"""
BATCH_PIXELS = 2 * 224 * 224
OUTSIDE_LOGIT = -20.0
FIRST_SHARE = 0.6
"""Of the progress: what the first network's part of the work counts."""

Bools = NDArray[np.bool_]
Area = tuple[slice, slice]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The logit from which a voxel belongs to a lesion, and the score (`scoring.score`), as a logit, that one needs."""

    outline_logit: float
    score_logit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Where the ensemble looks: labels, int32 (slice, row, column), from 1 to count; and the box around each."""

    labels: NDArray[np.integer]
    boxes: list[tuple[slice, ...]]
    voxel_ml: float

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.boxes)


def cascade_logits(
    ensemble: Ensemble, stack: SliceStack, area: Area, rule: Rule, progress: Progress
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the number of each slice with a candidate and its mean logits, float32 (place, row, column).

    area: rows and columns of the scan in which something may be marked. rule: what the candidates are for.
    """
    candidates = candidates_of(_first_look(ensemble, stack, area, progress), stack.spacing[0])
    alive = np.ones(candidates.count + 1, bool)
    alive[0] = False
    slices, rows, columns = stack.shape
    total = np.zeros((slices, len(stack.places), rows, columns), np.float32)
    taken = 0
    for looks, below in _stages(ensemble.looks):
        _add(ensemble, looks, stack, _windows(candidates, alive, stack), total)
        taken += len(looks)
        progress(FIRST_SHARE + (1 - FIRST_SHARE) * taken / len(ensemble.looks))
        _drop(candidates, alive, total / np.float32(taken), rule, below)
    for number in range(slices):
        inside = alive[candidates.labels[number]]
        if inside.any():
            yield number, np.where(inside, total[number] / taken, np.float32(OUTSIDE_LOGIT))


def candidates_of(logits: NDArray[np.float32], slice_mm: float) -> Candidates:
    """Return what lies around the voxels that the first network takes for tumour, one candidate where these touch.

    logits: (slice, row, column), pixels of PIXEL_MM. slice_mm: distance of slices.
    """
    voxel_ml = slice_mm * PIXEL_MM**2 / 1000
    labels, count = ndimage.label(logits > SEED_LOGIT, np.ones((3, 3, 3)))
    is_kept = np.zeros(count + 1, bool)
    is_kept[labels[logits > PEAK_LOGIT]] = True
    is_kept &= np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml >= SMALLEST_SEED_ML
    around = is_kept[labels].astype(np.uint8)
    for axis, reach in enumerate((AROUND_SLICES_MM / slice_mm, AROUND_MM / PIXEL_MM, AROUND_MM / PIXEL_MM)):
        around = ndimage.maximum_filter1d(around, 2 * round(reach) + 1, axis, mode="constant")
    numbered, _ = ndimage.label(around, np.ones((3, 3, 3)))
    return Candidates(labels=numbered, boxes=ndimage.find_objects(numbered), voxel_ml=voxel_ml)


def _stages(looks: Sequence[Look]) -> list[tuple[Sequence[Look], float]]:
    """Return the looks of each stage, and how far below a lesion's score a candidate goes on after it."""
    ends = [0, *(min(end, len(looks)) for end, _ in STAGES), len(looks)]
    below = [*(limit for _, limit in STAGES), np.inf]
    return [(looks[a:b], limit) for (a, b), limit in zip(pairwise(ends), below, strict=True) if a < b]


def _first_look(ensemble: Ensemble, stack: SliceStack, area: Area, progress: Progress) -> NDArray[np.float32]:
    """Return the first network's logits (slice, row, column), of several places within a slice the largest.

    Slices that it does not look at have the larger of both next ones.
    """
    rows, columns = stack.rows_of(area[0]), stack.columns_of(area[1])
    seen = _widened((rows, columns), stack.shape[1:], FIRST_CONTEXT)
    found = np.full(stack.shape, OUTSIDE_LOGIT, np.float32)
    step = max(1, int(SEED_STEP_MM / stack.spacing[0]))
    looked_at = sorted({*range(0, len(found), step), len(found) - 1})
    for number in looked_at:
        images = stack.images(stack.windows(number, seen)).to(ensemble.device)
        logits = ensemble.logits(images, ensemble.looks[0])[:, 0].amax(0).cpu().numpy()
        inside = (slice(rows.start - seen[0].start, rows.stop - seen[0].start),
                  slice(columns.start - seen[1].start, columns.stop - seen[1].start))  # fmt: skip
        found[number, rows, columns] = logits[inside]
        progress(FIRST_SHARE * (number + 1) / len(found))
    for below, above in pairwise(looked_at):
        found[below + 1 : above] = np.maximum(found[below], found[above])
    return found


def _windows(candidates: Candidates, alive: Bools, stack: SliceStack) -> list[Window]:
    """Return windows that cover all candidates that are alive, at every place within the slices."""
    found = []
    for number, labels in enumerate(candidates.labels):
        boxes = [box for box in ndimage.find_objects(np.where(alive[labels], labels, 0)) if box is not None]
        for area in _merged([_widened(box, stack.shape[1:], CONTEXT) for box in boxes]):
            found += stack.windows(number, area)
    return found


def _widened(box: tuple[slice, ...], shape: Sequence[int], context: int) -> Area:
    """Return a box with `context` pixels around it, its corners on the GRID."""
    rows, columns = (
        slice(max(0, (side.start - context) // GRID * GRID), min(size, -(-(side.stop + context) // GRID) * GRID))
        for side, size in zip(box, shape, strict=True)
    )
    return rows, columns


def _merged(boxes: list[Area]) -> list[Area]:
    """Return boxes in place of these of which no two overlap: those that do become the box around both."""
    merged: list[Area] = []
    for box in boxes:
        one = box
        while (other := next((each for each in merged if _overlap(one, each)), None)) is not None:
            merged.remove(other)
            rows, columns = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(one, other, strict=True))
            one = rows, columns
        merged.append(one)
    return merged


def _overlap(one: Area, other: Area) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def _add(
    ensemble: Ensemble, looks: Sequence[Look], stack: SliceStack, windows: list[Window], total: NDArray[np.float32]
) -> None:
    """Add the logits of these looks at these windows to `total` (slice, place, row, column)."""
    for size, alike in groupby(sorted(windows, key=lambda window: window.size), lambda window: window.size):
        of_one_size = list(alike)
        count = max(1, BATCH_PIXELS // (size[0] * size[1]))
        for first in range(0, len(of_one_size), count):
            batch = of_one_size[first : first + count]
            images = stack.images(batch).to(ensemble.device)
            logits = ensemble.sum_of_logits(images, looks)[:, 0].cpu().numpy()
            for window, own in zip(batch, logits, strict=True):
                total[(window.slice_number, window.place, *window.area)] += own


def _drop(candidates: Candidates, alive: Bools, mean: NDArray[np.float32], rule: Rule, below: float) -> None:
    """Mark candidates as dropped whose score is more than `below` under the rule's.

    mean: logits (slice, place, row, column).
    """
    for number, box in enumerate(candidates.boxes, start=1):
        if alive[number]:
            best = mean[box[0], :, box[1], box[2]].max(1)[candidates.labels[box] == number]
            volume_ml = np.count_nonzero(best > rule.outline_logit) * candidates.voxel_ml
            score = float(best.max()) - float(np.log(odds_divisor(np.array(volume_ml))))
            alive[number] = score >= rule.score_logit - below
