"""Signed distance map of the lungs' surface on an isotropic grid along the LPS axes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.volume import Mask, spacing_of

FINE_MM = 3.0
"""Spacing of the grid on which distances are computed."""
COARSE = 2
"""Downsampling factor of the map: distances are smooth, so a spacing of 6 mm is sufficient."""
MARGIN_MM = 20.0
"""Margin of the map around the lungs."""
NEAR_MM = 20.0
"""Distances are clipped here: larger ones depend on several parts of the surface."""
BESIDE_MM = 12.0
"""Distance from the surface up to which voxels of a partial scan are used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceMap:
    """Signed distance to the lungs' surface on a grid along the LPS axes.

    mm: float32 (z, y, x), negative inside. known: bool (z, y, x), voxels within the scan and near the surface.
    first_mm: (x, y, z), LPS, centre of the first voxel. spacing_mm: along all axes.
    """

    mm: NDArray[np.float32]
    known: NDArray[np.bool_]
    first_mm: NDArray[np.float64]
    spacing_mm: float

    @property
    def near_mm(self) -> NDArray[np.float32]:
        """The distances clipped to +-NEAR_MM."""
        return np.clip(self.mm, -NEAR_MM, NEAR_MM)

    def places_of(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the centres of the chosen voxels, (n, 3), LPS mm."""
        indices: NDArray[np.float64] = np.argwhere(chosen)[:, ::-1] * self.spacing_mm + self.first_mm
        return indices

    def index_of(self, points_mm: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the fractional indices of points (n, 3), LPS mm, on the grid, (3, n): z, y, x."""
        index: NDArray[np.float64] = ((points_mm - self.first_mm) / self.spacing_mm).T[::-1]
        return index


def distance_map(mask: Mask, *, is_cut: bool = False) -> DistanceMap:
    """Return the distance map of a non-empty lung mask.

    is_cut: the scan does not contain the whole lungs; they are continued beyond its edge by its outermost voxels.
    """
    first_mm, shape = _grid(mask)
    inside = _blurred(mask, first_mm, shape, is_cut=is_cut) >= 0.5
    outwards = ndimage.distance_transform_edt(~inside, FINE_MM) + FINE_MM / 2 * inside
    inwards = ndimage.distance_transform_edt(inside, FINE_MM) + FINE_MM / 2 * ~inside
    mm = _means(outwards - inwards)
    return DistanceMap(
        mm=mm.astype(np.float32),
        known=(_means(_within_scan(mask, first_mm, shape)) > 0.5) & (np.abs(mm) <= BESIDE_MM),
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


def _blurred(mask: Mask, first_mm: NDArray[np.float64], shape: tuple[int, ...], *, is_cut: bool) -> NDArray[np.float32]:
    """Return the blurred lung mask on the fine grid, 0 to 1."""
    box = ndimage.find_objects(mask.voxels.view(np.uint8), max_label=1)[0]
    crop = tuple(slice(max(0, side.start - 3), side.stop + 3) for side in box)
    blur = 0.35 * np.maximum(FINE_MM / np.array(spacing_of(mask.affine)), 1.0)
    blurred = ndimage.gaussian_filter(mask.voxels[crop].astype(np.float32), blur, mode="nearest")
    to_index, offset = _to_index(mask, first_mm)
    offset = offset - [side.start for side in crop]
    values = ndimage.affine_transform(
        blurred, to_index, offset, shape, output=np.float32, order=1, mode="nearest" if is_cut else "constant"
    )
    return np.asarray(values, np.float32)


def _within_scan(mask: Mask, first_mm: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the voxels of the fine grid that lie within the scan."""
    to_index, offset = _to_index(mask, first_mm)
    indices = np.indices(shape).reshape(3, -1)
    index = to_index @ indices + offset[:, None]
    last = np.array(mask.voxels.shape)[:, None] - 0.5
    within: NDArray[np.bool_] = ((index >= -0.5) & (index <= last)).all(0).reshape(shape)
    return within


def _to_index(mask: Mask, first_mm: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the matrix and the offset that map (z, y, x) of the fine grid to the mask's (slice, row, column)."""
    inverse = np.linalg.inv(mask.affine)
    return inverse[:3, :3] @ (FINE_MM * np.eye(3)[::-1]), inverse[:3, :3] @ first_mm + inverse[:3, 3]


def _means(fine: NDArray[np.float64] | NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the means of blocks of COARSE voxels along each axis."""
    slices, rows, columns = (length // COARSE for length in fine.shape)
    blocks = fine.reshape(slices, COARSE, rows, COARSE, columns, COARSE)
    return np.asarray(blocks.mean((1, 3, 5), dtype=np.float64))
