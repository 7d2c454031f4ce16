"""The cascade: one network runs on whole slices, the whole ensemble only on the candidates that it finds.

Candidates that the first few networks score far too low are dropped on the way. What the constants cost and keep:
models/lung_tumour/README.md, "Speed".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.lung_tumour.ensemble import Ensemble, Member
from models.lung_tumour.network import MULTIPLE
from models.lung_tumour.scoring import odds_divisor
from models.lung_tumour.slice_stack import Area, SliceStack, Window
from models.lung_tumour.transforms import PIXEL_MM
from models.segmenter import Progress

SEED_LOGIT, PEAK_LOGIT = -1.4, 2.0
"""A candidate is a component above the first logit (a probability of 0.2) with a voxel above the second. Of the lesions
on the whole scans at hand none has a peak below 3.3.
"""
SEED_STEP_MM = 2.0
"""The first network skips slices that are closer together than this."""
MIN_SEED_ML = 0.03
"""A third of the smallest lesion that is reported: smaller components are no candidates."""
AROUND_MM, AROUND_SLICES_MM = 5.0, 4.0
"""Margin of a candidate around its component, in the slice and across slices."""
CONTEXT, FIRST_CONTEXT = 96, 32
"""Pixels of context: around a candidate, and around the area for the first network.

With less, false positives at the diaphragm and the hilum appear that the whole slice does not have.
"""
STAGES = ((2, 2.9), (4, 1.9))
"""After this many ensemble members a candidate is dropped if its score is this far, in logits, below that of a lesion.

Of the lesions on the whole scans at hand none is more than 0.7 below after two or four members.
"""
BATCH_PIXELS = 2 * 224 * 224
"""Pixels that the networks see at once; larger windows run alone."""
OUTSIDE_LOGIT = -20.0
FIRST_SHARE = 0.6
"""Share of the progress that counts for the first network."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Thresholds of the model card as logits: of a voxel of the outline, and of a lesion's score (`scoring.score`)."""

    outline_logit: float
    score_logit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """Connected regions in which the ensemble runs.

    labels: (slice, row, column), 0 outside, else the number of the candidate, from 1. boxes: around each, in order.
    voxel_ml: volume of a voxel of the labels.
    """

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
    """Yield the number of each slice with a candidate and its mean logits, float32 (position, row, column).

    area: rows and columns of the scan in which tumour may be marked.
    """
    candidates = candidates_of(_first_logits(ensemble, stack, area, progress), stack.spacing[0])
    is_kept = np.ones(candidates.count + 1, bool)
    is_kept[0] = False
    slices, rows, columns = stack.shape
    total = np.zeros((slices, len(stack.positions), rows, columns), np.float32)
    done = 0
    for members, below in _stages(ensemble.members):
        _add_logits(ensemble, members, stack, _windows(candidates, is_kept, stack), total)
        done += len(members)
        progress(FIRST_SHARE + (1 - FIRST_SHARE) * done / len(ensemble.members))
        for number in range(1, candidates.count + 1):
            is_kept[number] &= _score_logit(candidates, number, total, done, rule) >= rule.score_logit - below
    for number in range(slices):
        inside = is_kept[candidates.labels[number]]
        if inside.any():
            yield number, np.where(inside, total[number] / np.float32(done), np.float32(OUTSIDE_LOGIT))


def candidates_of(logits: NDArray[np.float32], slice_mm: float) -> Candidates:
    """Return the components of the first network's logits, with their margins; margins that touch are one candidate.

    logits: (slice, row, column), pixels of PIXEL_MM. slice_mm: distance of slices.
    """
    voxel_ml = slice_mm * PIXEL_MM**2 / 1000
    labels, count = ndimage.label(logits > SEED_LOGIT, np.ones((3, 3, 3)))
    is_kept = np.zeros(count + 1, bool)
    is_kept[labels[logits > PEAK_LOGIT]] = True
    is_kept &= np.bincount(labels.ravel(), minlength=count + 1) * voxel_ml >= MIN_SEED_ML
    around = is_kept[labels].astype(np.uint8)
    for axis, reach in enumerate((AROUND_SLICES_MM / slice_mm, AROUND_MM / PIXEL_MM, AROUND_MM / PIXEL_MM)):
        around = ndimage.maximum_filter1d(around, 2 * round(reach) + 1, axis, mode="constant")
    numbered, _ = ndimage.label(around, np.ones((3, 3, 3)))
    return Candidates(labels=numbered, boxes=ndimage.find_objects(numbered), voxel_ml=voxel_ml)


def _stages(members: Sequence[Member]) -> list[tuple[Sequence[Member], float]]:
    """Return the members of each stage, and how far below a lesion's score a candidate is still kept after it."""
    ends = [0, *(min(end, len(members)) for end, _ in STAGES), len(members)]
    below = [*(limit for _, limit in STAGES), np.inf]
    return [(members[a:b], limit) for (a, b), limit in zip(pairwise(ends), below, strict=True) if a < b]


def _first_logits(ensemble: Ensemble, stack: SliceStack, area: Area, progress: Progress) -> NDArray[np.float32]:
    """Return the first network's logits (slice, row, column) in the area, the largest over positions in a slice.

    A slice that is skipped gets the larger logits of the two nearest ones.
    """
    rows, columns = stack.rows_of(area[0]), stack.columns_of(area[1])
    seen = _widened((rows, columns), stack.shape[1:], FIRST_CONTEXT)
    logits = np.full(stack.shape, OUTSIDE_LOGIT, np.float32)
    step = max(1, int(SEED_STEP_MM / stack.spacing[0]))
    numbers = sorted({*range(0, len(logits), step), len(logits) - 1})
    for number in numbers:
        images = stack.images(stack.windows(number, seen)).to(ensemble.device)
        logits[number][seen] = ensemble.logits(images, ensemble.members[0])[:, 0].amax(0).cpu().numpy()
        progress(FIRST_SHARE * (number + 1) / len(logits))
    for below, above in pairwise(numbers):
        logits[below + 1 : above] = np.maximum(logits[below], logits[above])
    inside = np.zeros(stack.shape[1:], bool)
    inside[rows, columns] = True
    return np.where(inside, logits, np.float32(OUTSIDE_LOGIT))


def _windows(candidates: Candidates, is_kept: Bools, stack: SliceStack) -> list[Window]:
    """Return windows around all candidates that are kept, at every position in each slice."""
    found = []
    for number, labels in enumerate(candidates.labels):
        boxes = [box for box in ndimage.find_objects(np.where(is_kept[labels], labels, 0)) if box is not None]
        for area in _merged([_widened(box, stack.shape[1:], CONTEXT) for box in boxes]):
            found += stack.windows(number, area)
    return found


def _widened(box: tuple[slice, ...], shape: Sequence[int], context: int) -> Area:
    """Return a box with `context` pixels around it; its corners are multiples of MULTIPLE, as the networks' grids."""
    rows, columns = (
        slice(
            max(0, (side.start - context) // MULTIPLE * MULTIPLE),
            min(size, -(-(side.stop + context) // MULTIPLE) * MULTIPLE),
        )
        for side, size in zip(box, shape, strict=True)
    )
    return rows, columns


def _merged(boxes: list[Area]) -> list[Area]:
    """Return boxes that do not overlap: those that do are replaced by the box around both."""
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


def _add_logits(
    ensemble: Ensemble, members: Sequence[Member], stack: SliceStack, windows: list[Window], total: NDArray[np.float32]
) -> None:
    """Add the logits of these members in these windows to `total` (slice, position, row, column)."""
    for size, alike in groupby(sorted(windows, key=lambda window: window.size), lambda window: window.size):
        of_one_size = list(alike)
        count = max(1, BATCH_PIXELS // (size[0] * size[1]))
        for first in range(0, len(of_one_size), count):
            batch = of_one_size[first : first + count]
            images = stack.images(batch).to(ensemble.device)
            logits = ensemble.sum_of_logits(images, members)[:, 0].cpu().numpy()
            for window, own in zip(batch, logits, strict=True):
                total[(window.slice_number, window.position, *window.area)] += own


def _score_logit(candidates: Candidates, number: int, total: NDArray[np.float32], done: int, rule: Rule) -> float:
    """Return the score of a candidate as a logit, from the sum of the logits of `done` members."""
    box = candidates.boxes[number - 1]
    best = total[box[0], :, box[1], box[2]].max(1)[candidates.labels[box] == number] / done
    volume_ml = np.array(np.count_nonzero(best > rule.outline_logit) * candidates.voxel_ml)
    return float(best.max() - np.log(odds_divisor(volume_ml)))
