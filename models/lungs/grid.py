"""A scan on a grid of about 2 mm in an upright order: slices to the head, rows to the back, columns to the left.

Knows no lung. Whatever the scan's own order is, the same body gives the same voxels here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.volume import Volume, spacing_of

Array = NDArray[np.float32]
Scalar = TypeVar("Scalar", bound=np.generic)

GRID_MM = 2.2
UPRIGHT = (2, 1, 0)
"""The LPS axis of slices, rows and columns: z, y, x."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UprightGrid:
    """The grid of an upright array, and the way back to the scan's order.

    affine: (4, 4), upright (slice, row, column, 1) to LPS mm. axes, flips: which axes of the scan came to be slice, row
    and column, and which of these were reversed.
    """

    affine: NDArray[np.float64]
    axes: tuple[int, int, int] = (0, 1, 2)
    flips: tuple[bool, bool, bool] = (False, False, False)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The voxel's size in mm along (slice, row, column)."""
        return spacing_of(self.affine)

    def to_lps(self, index: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the LPS coordinates in mm of an upright (slice, row, column)."""
        x, y, z = self.affine[:3] @ np.array([*index, 1.0])
        return float(x), float(y), float(z)

    def in_scan_order(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Return an upright array in the scan's order of axes."""
        reversed_ = np.flip(array, tuple(axis for axis in range(3) if self.flips[axis]))
        return np.ascontiguousarray(reversed_.transpose(np.argsort(self.axes)))

    def affine_in_scan_order(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the affine of what `in_scan_order` returns for an upright array of this shape."""
        affine = self.affine.copy()
        for axis in range(3):
            if self.flips[axis]:
                affine[:3, 3] += affine[:3, axis] * (shape[axis] - 1)
                affine[:3, axis] *= -1
        return affine[:, [*np.argsort(self.axes), 3]]


def upright(volume: Volume) -> tuple[Array, UprightGrid]:
    """Return the scan's means over blocks of about GRID_MM in upright order, and their grid.

    Up to a block less a voxel at the head, the back and the left end of the scan is left out.
    """
    axes = _axes(volume.affine)
    flips = tuple(bool(volume.affine[UPRIGHT[i], axes[i]] < 0) for i in range(3))
    hu, affine, voxels = volume.hu, volume.affine.copy(), 1
    for axis in (2, 1, 0):  # what lies together in memory first
        block = max(1, round(GRID_MM / volume.spacing[axis]))
        first = hu.shape[axis] % block if flips[axes.index(axis)] else 0
        hu = _sums(hu, axis, first, block)
        voxels *= block
        affine[:3, 3] += affine[:3, axis] * (first + (block - 1) / 2)
        affine[:3, axis] *= block
    hu = np.flip(hu.transpose(axes), tuple(i for i in range(3) if flips[i])) / np.float32(voxels)
    turned = UprightGrid(affine=affine[:, [*axes, 3]], flips=(flips[0], flips[1], flips[2]))
    grid = replace(turned, affine=turned.affine_in_scan_order(hu.shape), axes=axes)
    return np.ascontiguousarray(hu), grid


def _axes(affine: NDArray[np.float64]) -> tuple[int, int, int]:
    """Return the array axes that run most nearly along z, y and x."""
    along = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    row = 1 if along[1, 1] >= along[1, 2] else 2
    return 0, row, 3 - row


def _sums(hu: Array, axis: int, first: int, block: int) -> Array:
    """Return the sums over blocks along one axis; HU are whole numbers, so that any order gives the same."""
    if block == 1:
        return hu
    end = first + (hu.shape[axis] - first) // block * block
    parts = [hu[(slice(None),) * axis + (slice(first + i, end, block),)] for i in range(block)]
    return sum(parts[1:], start=parts[0])
