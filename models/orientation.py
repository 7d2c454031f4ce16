"""Turns a volume upright, whatever the stored axes, and turns a mask back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Voxel = TypeVar("Voxel", bound=np.generic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orientation:
    """Axis order and flips that make slices run to the head, rows to posterior and columns to the left.

    order: the stored axes that become the first, second and third. flips: the axes to reverse afterwards.
    """

    order: tuple[int, ...]
    flips: tuple[int, ...]

    def upright(self, stored: NDArray[Voxel]) -> NDArray[Voxel]:
        """Return the array upright, contiguous."""
        return np.ascontiguousarray(np.flip(stored.transpose(self.order), self.flips))

    def stored(self, upright: NDArray[Voxel]) -> NDArray[Voxel]:
        """Return an upright array in the stored order of axes, contiguous."""
        back = tuple(int(axis) for axis in np.argsort(self.order))
        return np.ascontiguousarray(np.flip(upright, self.flips).transpose(back))

    def spacing(self, stored: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the voxel's size in mm along the upright axes."""
        first, second, third = (stored[axis] for axis in self.order)
        return first, second, third


def orientation_of(affine: NDArray[np.float64]) -> Orientation:
    """Return the axis order and flips that bring an affine, (slice, row, column, 1) to LPS mm, closest to upright."""
    towards = (affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))[::-1]  # rows: head, posterior, left
    order = max(permutations(range(3)), key=lambda axes: sum(abs(towards[k, axis]) for k, axis in enumerate(axes)))
    return Orientation(order=order, flips=tuple(k for k, axis in enumerate(order) if towards[k, axis] < 0))
