"""The cascade: a candidate network runs on whole slices, the whole ensemble only on the candidates that it finds.

Candidates that a few networks score far too low are dropped on the way. What the constants cost and keep:
models/lung_tumour/README.md, "Speed".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

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
    network: CandidateNetwork, ensemble: Ensemble, stack: SliceStack, area: Area, rule: Rule, progress: Progress
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the number of each slice with a candidate and its mean logits, float32 (position, row, column).

    network: finds the candidates. area: rows and columns of the scan in which tumour may be marked.
    """
    candidates = find_candidates(network, stack, area, lambda share: progress(FIRST_SHARE * share))
    is_kept = np.ones(candidates.count + 1, bool)
    is_kept[0] = False
    total = np.zeros((stack.shape[0], len(stack.positions), *stack.shape[1:]), np.float32)
    done = 0
    for members, below in _stages(ensemble.members):
        _add_logits(ensemble, members, stack, _windows(candidates, is_kept, stack), total)
        done += len(members)
        progress(FIRST_SHARE + (1 - FIRST_SHARE) * done / len(ensemble.members))
        _drop(candidates, is_kept, total, done, rule.score_logit - below, rule)
    for number in range(stack.shape[0]):
        inside = is_kept[candidates.labels_of(number)]
        if inside.any():
            yield number, np.where(inside, total[number] / np.float32(done), np.float32(OUTSIDE_LOGIT))


def _stages(members: Sequence[Member]) -> list[tuple[Sequence[Member], float]]:
    """Return the members of each stage, and how far below a lesion's score a candidate is still kept after it."""
    ends = [0, *(min(end, len(members)) for end, _ in STAGES), len(members)]
    below = [*(limit for _, limit in STAGES), np.inf]
    return [(members[a:b], limit) for (a, b), limit in zip(pairwise(ends), below, strict=True) if a < b]


def _windows(candidates: Candidates, is_kept: Bools, stack: SliceStack) -> list[Window]:
    """Return windows around all candidates that are kept, at every position in each slice."""
    found = []
    for number in range(stack.shape[0]):
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


def _drop(candidates: Candidates, is_kept: Bools, total: Array, done: int, least: float, rule: Rule) -> None:
    """Drop the candidates whose score, as a logit, is below `least`. total: sum of the logits of `done` members."""
    for number in np.flatnonzero(is_kept):
        box = candidates.boxes[number - 1]
        best = total[box[0], :, box[1], box[2]].max(1)[candidates.labels_in(box) == number] / done
        volume_ml = np.array(np.count_nonzero(best > rule.outline_logit) * candidates.voxel_ml)
        is_kept[number] = best.max() - np.log(odds_divisor(volume_ml)) >= least
