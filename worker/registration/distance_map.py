"""The signed distance to the lungs' surface on a grid of its own, whatever grid its mask has. Registers nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.volume import Mask, spacing_of

FINE_MM = 3.0
"""Of the grid on which distances are taken ..."""
COARSE = 2
"""... and how many of its voxels along each axis are one of the map: distances are smooth, 6 mm carry them."""
MARGIN_MM = 20.0
"""The map reaches so far beyond the lungs."""
NEAR_MM = 20.0
"""Up to here a distance speaks for its own piece of surface; beyond, other pieces come in."""
BESIDE_MM = 12.0
"""How far from the lungs of a part its surroundings count as known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceMap:
    """The distance to the lungs' surface on a grid along the LPS axes.

    mm: float32 (z, y, x), negative inside. known: where the scan shows what it says.
    first_mm: LPS, the centre of the first voxel. spacing_mm: along all axes.
    """

    mm: NDArray[np.float32]
    known: NDArray[np.bool_]
    first_mm: NDArray[np.float64]
    spacing_mm: float

    @property
    def near_mm(self) -> NDArray[np.float32]:
        """The distances cut off at NEAR_MM."""
        return np.clip(self.mm, -NEAR_MM, NEAR_MM)

    def places_of(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the centres of the chosen voxels, (n, 3), LPS mm."""
        places: NDArray[np.float64] = np.argwhere(chosen)[:, ::-1] * self.spacing_mm + self.first_mm
        return places

    def index_of(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where points lie on the grid, (3, n): z, y, x."""
        index: NDArray[np.float64] = ((points_mm - self.first_mm) / self.spacing_mm).T[::-1]
        return index


def distance_map(mask: Mask, *, is_cut: bool = False) -> DistanceMap:
    """Return the map of lungs that are not empty; lungs that the scan cuts go on straight beyond its edge."""
    first_mm, shape = _grid(mask)
    inside = _soft(mask, first_mm, shape, is_cut=is_cut) >= 0.5
    outwards = ndimage.distance_transform_edt(~inside, FINE_MM) + FINE_MM / 2 * inside
    inwards = ndimage.distance_transform_edt(inside, FINE_MM) + FINE_MM / 2 * ~inside
    mm = _means(outwards - inwards)
    return DistanceMap(
        mm=mm.astype(np.float32),
        known=(_means(_shown(mask, first_mm, shape)) > 0.5) & (np.abs(mm) <= BESIDE_MM),
        first_mm=first_mm + FINE_MM * (COARSE - 1) / 2,
        spacing_mm=FINE_MM * COARSE,
    )


def _grid(mask: Mask) -> tuple[NDArray[np.float64], tuple[int, ...]]:
    """Return the centre (LPS mm) of the first voxel of the fine grid, and its shape (z, y, x)."""
    voxels = np.argwhere(mask.voxels)
    low, high = voxels.min(0) - 0.5, voxels.max(0) + 0.5
    corners = np.array([np.where(np.unravel_index(number, (2, 2, 2)), high, low) for number in range(8)])
    located = corners @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    first, last = located.min(0) - MARGIN_MM, located.max(0) + MARGIN_MM
    return first, tuple(COARSE * math.ceil(length / FINE_MM / COARSE) for length in (last - first)[::-1])


def _soft(mask: Mask, first_mm: NDArray[np.float64], shape: tuple[int, ...], *, is_cut: bool) -> NDArray[np.float32]:
    """Return the share of lung around each voxel of the fine grid."""
    box = ndimage.find_objects(mask.voxels.view(np.uint8), max_label=1)[0]
    around = tuple(slice(max(0, one.start - 3), one.stop + 3) for one in box)
    blur = 0.35 * np.maximum(FINE_MM / np.array(spacing_of(mask.affine)), 1.0)
    blurred = ndimage.gaussian_filter(mask.voxels[around].astype(np.float32), blur, mode="nearest")
    to_index, offset = _to_index(mask, first_mm)
    offset = offset - [one.start for one in around]
    values = ndimage.affine_transform(
        blurred, to_index, offset, shape, output=np.float32, order=1, mode="nearest" if is_cut else "constant"
    )
    return np.asarray(values, np.float32)


def _shown(mask: Mask, first_mm: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    to_index, offset = _to_index(mask, first_mm)
    places = np.indices(shape).reshape(3, -1)
    index = to_index @ places + offset[:, None]
    last = np.array(mask.voxels.shape)[:, None] - 0.5
    shown: NDArray[np.bool_] = ((index >= -0.5) & (index <= last)).all(0).reshape(shape)
    return shown


def _to_index(mask: Mask, first_mm: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrix and the offset that bring (z, y, x) of the fine grid to the mask's (slice, row, column)."""
    back = np.linalg.inv(mask.affine)
    return back[:3, :3] @ (FINE_MM * np.eye(3)[::-1]), back[:3, :3] @ first_mm + back[:3, 3]


def _means(fine: NDArray[np.float64] | NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the means over blocks of COARSE voxels along each axis."""
    slices, rows, columns = (length // COARSE for length in fine.shape)
    blocks = fine.reshape(slices, COARSE, rows, COARSE, columns, COARSE)
    return np.asarray(blocks.mean((1, 3, 5), dtype=np.float64))
