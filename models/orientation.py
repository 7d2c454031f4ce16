"""Turns a volume upright, however its series is stored, and what was marked in it back. Resamples nothing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Voxel = TypeVar("Voxel", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orientation:
    """How to make slices run to the head, rows to posterior and columns to the left.

    order: which stored axis becomes the first, second and third. flips: the axes to reverse then.
    """

    order: tuple[int, ...]
    flips: tuple[int, ...]

    def upright(self, stored: NDArray[Voxel]) -> NDArray[Voxel]:
        """Return the array upright, contiguous."""
        return np.ascontiguousarray(np.flip(stored.transpose(self.order), self.flips))

    def stored(self, upright: NDArray[Voxel]) -> NDArray[Voxel]:
        """Return an upright array as the series is stored, contiguous."""
        back = tuple(int(axis) for axis in np.argsort(self.order))
        return np.ascontiguousarray(np.flip(upright, self.flips).transpose(back))

    def spacing(self, stored: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the voxel's size in mm along the upright axes."""
        first, second, third = (stored[axis] for axis in self.order)
        return first, second, third


def orientation_of(affine: NDArray[np.float64]) -> Orientation:
    """Return the turns by right angles that bring an affine, (slice, row, column, 1) to LPS mm, nearest to upright."""
    towards = (affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))[::-1]  # rows: head, posterior, left
    order = max(permutations(range(3)), key=lambda axes: sum(abs(towards[k, axis]) for k, axis in enumerate(axes)))
    return Orientation(order=order, flips=tuple(k for k, axis in enumerate(order) if towards[k, axis] < 0))
