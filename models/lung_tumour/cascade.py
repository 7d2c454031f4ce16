"""The cascade: a candidate network runs on whole slices, the whole ensemble only on the candidates that it finds.

Candidates that a few networks score far too low are dropped on the way. What the constants cost and keep:
models/lung_tumour/README.md, "Speed".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit, logit

from models.lung_tumour.candidates import OUTSIDE_LOGIT, CandidateNetwork, Candidates, find_candidates
from models.lung_tumour.ensemble import Ensemble, Member
from models.lung_tumour.scoring import odds_divisor
from models.lung_tumour.slice_stack import Area, SliceStack, Window, widened
from models.segmenter import Progress

CONTEXT = 96
"""Pixels of context around a candidate.

With less, false positives at the diaphragm and the hilum appear that the whole slice does not have.
"""
STAGES = ((2, 2.9), (4, 1.9))
"""After this many ensemble members a candidate is dropped if its score is this far, in logits, below that of a lesion.

Of the lesions on the whole scans at hand none is more than 1.2 below after two or four members.
"""
DECIDED = 0.3
"""The same after all members: only the volume is not final, where some slices wait."""
BATCH_PIXELS = 2 * 224 * 224
"""Pixels that the networks see at once; larger windows run alone."""
FIRST_SHARE = 0.3
"""Share of the progress that counts for the first network."""

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Thresholds of the model card as logits: of a voxel of the outline, and of a lesion's score (`scoring.score`)."""

    outline_logit: float
    score_logit: float


def cascade_logits(
    network: CandidateNetwork,
    ensemble: Ensemble,
    stack: SliceStack,
    field: Bools | None,
    rule: Rule,
    progress: Progress,
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the number of each slice with a candidate and its mean logits, float32 (position, row, column).

    network: finds the candidates. field: the lungs (slice, row, column) on the scan's grid, near which tumour may be
    marked; None: everywhere.
    """
    candidates = find_candidates(network, stack, field, lambda share: progress(FIRST_SHARE * share))
    looks = _Looks(ensemble, stack, candidates)
    count = len(ensemble.members)
    for end, below in _stages(count):
        looks.add(end)
        looks.judge(rule, below)
        progress(FIRST_SHARE + (1 - FIRST_SHARE) * end / (count + 1))
    looks.complete()
    yield from looks.mean_logits()


def _stages(count: int) -> list[tuple[int, float]]:
    """Return how many members have predicted after each stage, and how far below a lesion's score is then kept."""
    return [(end, below) for end, below in STAGES if end < count] + [(count, DECIDED)]


class _Looks:
    """The logits of the members that have predicted a slice so far, around the candidates that are still kept.

    The first members see the slices where the candidate network is surest. A slice where no candidate then comes near a
    lesion's score decides nothing: it waits until the others have decided which candidates are lesions, and only then
    the remaining members outline them there.
    """

    def __init__(self, ensemble: Ensemble, stack: SliceStack, candidates: Candidates) -> None:
        slices, *sides = stack.shape
        self._ensemble, self._stack, self._candidates = ensemble, stack, candidates
        self._is_kept = np.ones(candidates.count + 1, bool)
        self._is_kept[0] = False
        self._decides = candidates.peak_slices
        self._seen = np.zeros(slices, int)
        """How many members have predicted each slice."""
        self._total = np.zeros((slices, len(stack.positions), *sides), np.float32)

    def add(self, end: int) -> None:
        """Add the members up to number `end`, in the slices that decide."""
        for seen in np.unique(self._seen[self._seen < end]):
            numbers = np.flatnonzero(self._decides & (self._seen == seen))
            windows = _windows(self._candidates, self._is_kept, self._stack, numbers)
            _add_logits(self._ensemble, self._ensemble.members[seen:end], self._stack, windows, self._total)
        self._seen[self._decides] = end

    def complete(self) -> None:
        """Add all members that are missing in the slices of candidates that are still kept."""
        self._decides = np.ones_like(self._decides)
        self.add(len(self._ensemble.members))

    def judge(self, rule: Rule, below: float) -> None:
        """Drop the candidates whose score, as a logit, is more than `below` under a lesion's, and see what decides."""
        self._decides = np.zeros_like(self._decides)
        for number in np.flatnonzero(self._is_kept):
            slices, *_ = box = self._candidates.boxes[number - 1]
            logits = np.where(self._candidates.labels_in(box) == number, self._mean(box), -np.inf)
            labels, count = ndimage.label(logits > rule.outline_logit, np.ones((3, 3, 3)))
            volumes_ml = np.bincount(labels.ravel(), minlength=count + 1) * self._candidates.voxel_ml
            volumes_ml[0] = 0
            scores = (logits - np.log(odds_divisor(volumes_ml))[labels]).max((1, 2))
            is_near = scores >= rule.score_logit - below
            self._is_kept[number] = is_near.any()
            if is_near.any():
                self._decides[slices] |= is_near | (self._seen[slices] == 0)

    def _mean(self, box: tuple[slice, slice, slice]) -> Array:
        """Return the logits (slice, row, column) of the mean probability over positions; -inf where nobody looked."""
        slices, rows, columns = box
        seen = self._seen[slices, None, None, None]
        mean = logit(expit(self._total[slices, :, rows, columns] / np.maximum(seen, 1)).mean(1))
        return np.where(seen[:, 0] > 0, mean, np.float32(-np.inf))

    def mean_logits(self) -> Iterator[tuple[int, Array]]:
        """Yield the number of each slice with a candidate that is kept, and its mean logits."""
        for number in range(len(self._total)):
            inside = self._is_kept[self._candidates.labels_of(number)]
            if inside.any():
                yield number, np.where(inside, self._total[number] / np.float32(self._seen[number]), OUTSIDE_LOGIT)


def _windows(candidates: Candidates, is_kept: Bools, stack: SliceStack, numbers: NDArray[np.integer]) -> list[Window]:
    """Return windows around the candidates that are kept in these slices, at every position in each."""
    found = []
    for number in numbers:
        areas = candidates.areas(number, is_kept)
        for area in _merged([widened(each, stack.shape[1:], CONTEXT) for each in areas]):
            found += stack.windows(number, area)
    return found


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
