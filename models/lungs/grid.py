"""A scan on an upright grid of about 2 mm: slices to the head, rows to the back, columns to the left.

The same body gives the same voxels, whatever the scan's order of axes. A scan whose axes are tilted against the body
(gantry tilt, oblique slices) is resampled: lobes are named by height and depth in the body, and distances are computed
on axes at right angles. On axes tilted by 20 degrees against each other they are up to a fifth too long or too short.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.orientation import Orientation, Voxel, orientation_of
from models.volume import Volume, spacing_of

Array = NDArray[np.float32]

GRID_MM = 2.2
MAX_TILT_DEG = 5.0
"""Up to this angle between an axis of the scan and of the body nothing is resampled."""
OUTSIDE_HU = 0.0
"""Of tissue: a lung that the scan's end cuts stays closed there."""
AS_IT_IS = Orientation(order=(0, 1, 2), flips=())


@dataclass(frozen=True, slots=True, kw_only=True)
class TiltedSlices:
    """The slices of a tilted scan: how many, and where they lie. places: (4,), upright index to slice coordinate."""

    count: int
    places: NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class UprightGrid:
    """The grid of an upright array, and the transform back to the scan's order of axes.

    affine: (4, 4), upright (slice, row, column, 1) to LPS mm. orientation: how the scan was turned. tilted: None if
    the scan's slices are those of the grid.
    """

    affine: NDArray[np.float64]
    orientation: Orientation = AS_IT_IS
    tilted: TiltedSlices | None = None

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The voxel's size in mm along (slice, row, column)."""
        return spacing_of(self.affine)

    def to_lps(self, index: tuple[float, float, float]) -> tuple[float, float, float]:
        """Return the LPS coordinates in mm of an upright (slice, row, column)."""
        x, y, z = self.affine[:3] @ np.array([*index, 1.0])
        return float(x), float(y), float(z)

    def sections(self, mask: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return how many voxels of an upright mask lie in each slice of the scan, or between two, upwards."""
        if self.tilted is None:
            return np.asarray(mask.sum((1, 2)), np.intp)
        between = self.tilted.count - 1
        places = np.floor(np.argwhere(mask) @ self.tilted.places[:3] + self.tilted.places[3]).astype(np.intp)
        return np.bincount(places.clip(0, between - 1), minlength=between)

    def in_scan_order(self, array: NDArray[Voxel]) -> NDArray[Voxel]:
        """Return an upright array in the scan's order of axes."""
        return self.orientation.stored(array)

    def affine_in_scan_order(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the affine of the result of `in_scan_order` for an upright array of this shape."""
        return _reversed(self.affine, self.orientation.flips, shape)[:, [*np.argsort(self.orientation.order), 3]]


def upright(volume: Volume) -> tuple[Array, UprightGrid]:
    """Return the scan's means over blocks of about GRID_MM in upright order, and their grid.

    At the head, the back and the left end of the scan, an incomplete block is left out. A tilted scan is resampled
    linearly to the axes of the body, with tissue outside of it, and stays in upright order.
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
    if _tilt_deg(affine) > MAX_TILT_DEG:
        return _straightened(hu, affine)
    return hu, UprightGrid(affine=affine, orientation=orientation)


def _tilt_deg(affine: NDArray[np.float64]) -> float:
    """Return the largest angle between an axis of an upright grid (slice, row, column) and its axis of the body."""
    cosines = np.diag(affine[2::-1, :3]) / spacing_of(affine)
    return float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())


def _straightened(hu: Array, affine: NDArray[np.float64]) -> tuple[Array, UprightGrid]:
    """Return an upright array on the axes of the body, with the spacing that it had along its own, and its grid."""
    ends = np.array(np.meshgrid(*((0, size - 1) for size in hu.shape), indexing="ij")).reshape(3, -1)
    corners = affine[:3, :3] @ ends + affine[:3, 3:]
    spacing = np.array(spacing_of(affine))
    straight = np.zeros((4, 4))
    straight[[2, 1, 0], [0, 1, 2]], straight[:3, 3], straight[3, 3] = spacing, corners.min(1), 1
    shape = tuple(int(n) for n in np.floor(np.ptp(corners, axis=1)[::-1] / spacing) + 1)
    to_stored = np.linalg.inv(affine) @ straight
    resampled = ndimage.affine_transform(
        hu, to_stored[:3, :3], to_stored[:3, 3], shape, order=1, mode="constant", cval=OUTSIDE_HU
    )
    return resampled, UprightGrid(affine=straight, tilted=TiltedSlices(count=len(hu), places=to_stored[0]))


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
