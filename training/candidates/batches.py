"""Batches of crops with the ensemble's logits; each batch is determined by the seed and its number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from torch.utils.data import Dataset

from models.lung_tumour.kinds import CANDIDATE_SIDE
from training.candidates.targets import LEVELS, LOGIT_STEPS, Target
from training.sampling.batches import Batch

EXAMPLES = 14
MARKED_SHARE = 0.6
"""Share of the examples that are drawn from slices in which the ensemble sees a candidate."""
MARKED_PIXELS, MARKED_LOGIT = 4, -1.4
"""It sees one where so many pixels of a slice exceed this logit, a probability of 0.2."""
TURN_RAD, GROWTH = 0.1, 0.08
"""Standard deviations of rotation and of the logarithm of the scale: small, since the ensemble saw neither."""

Slice = tuple[NDArray[np.uint8], NDArray[np.int8]]


@dataclass(frozen=True, slots=True)
class _Group:
    """The slices of a group, and the numbers of those in which the ensemble sees a candidate."""

    slices: list[Slice]
    marked: list[int]


class CandidateBatches(Dataset[Batch]):
    """Batches of EXAMPLES crops: image (n, plane, row, column), logits and known (n, 1, row, column).

    Groups have equal shares. Known is 1 inside the slice, 0 outside.
    """

    def __init__(self, targets: Iterable[Target], seed: tuple[int, ...]) -> None:
        slices: dict[str, list[Slice]] = defaultdict(list)
        for target in targets:
            slices[target.group] += zip(target.images, target.logits, strict=True)
        self._groups = [
            _Group(own, [k for k, (_, logits) in enumerate(own) if _is_marked(logits)]) for own in slices.values()
        ]
        self._seed = seed

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng([*self._seed, number])
        drawn = [self._example(self._groups[k % len(self._groups)], rng) for k in range(EXAMPLES)]
        images, logits, known = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        return images, logits, known

    def _example(self, group: _Group, rng: np.random.Generator) -> Batch:
        is_marked = group.marked and rng.random() < MARKED_SHARE
        numbers = group.marked if is_marked else range(len(group.slices))
        image, logits = group.slices[numbers[int(rng.integers(len(numbers)))]]
        planes = torch.from_numpy(np.concatenate([image / LEVELS - 1, logits[None] / LOGIT_STEPS], dtype=np.float32))
        grid = _grid(logits.shape, rng)
        drawn = functional.grid_sample(planes[None], grid, padding_mode="border", align_corners=False)[0]
        known = (grid.abs() <= 1).all(-1).float()
        return _changed(drawn[:-1], rng), drawn[-1:], known


def _is_marked(logits: NDArray[np.int8]) -> bool:
    return bool(np.count_nonzero(logits > MARKED_LOGIT * LOGIT_STEPS) >= MARKED_PIXELS)


def _grid(shape: tuple[int, ...], rng: np.random.Generator) -> torch.Tensor:
    """Return where a crop's pixels lie in a slice, as grid_sample wants it: (1, row, column, 2), -1 to 1."""
    rows, columns = shape
    angle, scale = rng.normal(0, TURN_RAD), np.exp(rng.normal(0, GROWTH))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = scale * np.array([[np.cos(angle) * mirror, -np.sin(angle)], [np.sin(angle) * mirror, np.cos(angle)]])
    free = np.maximum(0, np.array([columns, rows]) - 0.8 * CANDIDATE_SIDE)
    offset = rng.uniform(-0.7, 0.7, 2) * free / [columns, rows]
    matrix = np.concatenate([turn * CANDIDATE_SIDE / np.array([[columns], [rows]]), offset[:, None]], 1)
    return functional.affine_grid(
        torch.from_numpy(matrix[None].astype(np.float32)), [1, 1, CANDIDATE_SIDE, CANDIDATE_SIDE], align_corners=False
    )


def _changed(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Change contrast and brightness a little, and add noise to some."""
    image = (image + 1) * float(np.exp(rng.normal(0, 0.03))) - 1 + float(rng.normal(0, 0.03))
    if rng.random() < 0.4:
        noise = rng.standard_normal(image.shape, np.float32)
        image = image + torch.from_numpy(noise) * float(rng.exponential(0.03))
    return image.clamp(-1, 1)
