"""A scan on an upright grid of about 2 mm: slices to the head, rows to the back, columns to the left.

The same body gives the same voxels, whatever the scan's order of axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.orientation import Orientation, Voxel, orientation_of
from models.volume import Volume, spacing_of

Array = NDArray[np.float32]

GRID_MM = 2.2
AS_IT_IS = Orientation(order=(0, 1, 2), flips=())


@dataclass(frozen=True, slots=True, kw_only=True)
class UprightGrid:
    """The grid of an upright array, and the transform back to the scan's order of axes.

    affine: (4, 4), upright (slice, row, column, 1) to LPS mm. orientation: how the scan was turned.
    """

    affine: NDArray[np.float64]
    orientation: Orientation = AS_IT_IS

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The voxel's size in mm along (slice, row, column)."""
        return spacing_of(self.affine)

    def to_lps(self, index: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the LPS coordinates in mm of an upright (slice, row, column)."""
        x, y, z = self.affine[:3] @ np.array([*index, 1.0])
        return float(x), float(y), float(z)

    def in_scan_order(self, array: NDArray[Voxel]) -> NDArray[Voxel]:
        """Return an upright array in the scan's order of axes."""
        return self.orientation.stored(array)

    def affine_in_scan_order(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the affine of the result of `in_scan_order` for an upright array of this shape."""
        return _reversed(self.affine, self.orientation.flips, shape)[:, [*np.argsort(self.orientation.order), 3]]


def upright(volume: Volume) -> tuple[Array, UprightGrid]:
    """Return the scan's means over blocks of about GRID_MM in upright order, and their grid.

    At the head, the back and the left end of the scan, an incomplete block is left out.
    """
    orientation = orientation_of(volume.affine)
    hu, affine, voxels = volume.hu, volume.affine.copy(), 1
    for axis in (2, 1, 0):  # contiguous axis first
        block = max(1, round(GRID_MM / volume.spacing[axis]))
        first = hu.shape[axis] % block if orientation.order.index(axis) in orientation.flips else 0
        hu = _sums(hu, axis, first, block)
        voxels *= block
        affine[:3, 3] += affine[:3, axis] * (first + (block - 1) / 2)
        affine[:3, axis] *= block
    hu = orientation.upright(hu) / np.float32(voxels)
    affine = _reversed(affine[:, [*orientation.order, 3]], orientation.flips, hu.shape)
    return hu, UprightGrid(affine=affine, orientation=orientation)


def _reversed(affine: NDArray[np.float64], flips: tuple[int, ...], shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the affine of an array of this shape after some of its axes are reversed."""
    turned = affine.copy()
    for axis in flips:
        turned[:3, 3] += turned[:3, axis] * (shape[axis] - 1)
        turned[:3, axis] *= -1
    return turned


def _sums(hu: Array, axis: int, first: int, block: int) -> Array:
    """Return the sums over blocks along one axis; HU are integers, so the order of axes does not matter."""
    if block == 1:
        return hu
    end = first + (hu.shape[axis] - first) // block * block
    parts = [hu[(slice(None),) * axis + (slice(first + i, end, block),)] for i in range(block)]
    return sum(parts[1:], start=parts[0])
