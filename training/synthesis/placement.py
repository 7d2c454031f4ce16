"""Finds where a lesion of some size fits into the lungs: free, on a vessel, on the wall or on the mediastinum.

Trachea and main bronchi, if separable from the lungs, count as mediastinum: no lesion is placed in them. Works on one
volume in Hounsfield units, upright (slice, row, column), with its spacing.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.lungs.air import air_in_body, find_airways
from models.lungs.field import LUNG_HU, lung_field

Site = Literal["free", "vessel", "edge", "wall", "mediastinum"]
"""edge: wall or mediastinum. The dome of the diaphragm counts as either."""
VoxelIndex = tuple[int, int, int]
"""A voxel: slice, row, column."""

GRID_MM = 2.0
LUNG_CM2 = 40.0
"""Area of a lung in its largest slice; a loop of bowel has half of it."""
VESSEL_STEPS = 2
"""In grid steps: half the width of structures inside the lungs that count as lung."""
EDGE_SHARE = 0.6
"""Distance of an attached lesion's centre from the lung's edge, in radii, plus or minus EDGE_REACH."""
EDGE_REACH = 0.25
FREE_MM = 2.0
"""Least distance between a free lesion and the lung's edge."""


class Sites:
    """The possible positions in one volume, on a grid of about GRID_MM, computed once for many lesions."""

    def __init__(self, hu: NDArray[np.float32], spacing: tuple[float, float, float]) -> None:
        self._stride = np.array([max(1, round(GRID_MM / size)) for size in spacing])
        coarse = tuple(slice(None, None, int(step)) for step in self._stride)
        first, row, column = (float(size * step) for size, step in zip(spacing, self._stride, strict=True))
        self._sizes = (first, row, column)
        self._hu = hu[coarse]
        airways = find_airways(self._hu, air_in_body(self._hu), self._sizes).voxels
        self._field = _closed(_lungs(lung_field(hu, spacing)[coarse] & ~airways, self._sizes)) & ~airways
        self._depth, self._edge = _depth(self._field, self._sizes)

    def find(self, radius_mm: float, site: Site, rng: np.random.Generator) -> VoxelIndex | None:
        """Return a random centre for a ball of this radius; None if it fits nowhere."""
        if site in {"free", "vessel"}:
            fits = self._depth > radius_mm + FREE_MM
            if site == "vessel":
                fits &= self._from_vessel() < EDGE_SHARE * radius_mm
        else:
            fits = (self._depth > (EDGE_SHARE - EDGE_REACH) * radius_mm) & (
                self._depth < (EDGE_SHARE + EDGE_REACH) * radius_mm
            )
            box = [2 * int(radius_mm / size) + 1 for size in self._sizes]
            fits &= ndimage.maximum_filter(self._depth, size=box) > radius_mm
            if site != "edge":
                fits &= self._between_lungs()[tuple(self._edge)] == (site == "mediastinum")
        places = np.argwhere(fits)
        if not len(places):
            return None
        first, row, column = places[int(rng.integers(len(places)))] * self._stride
        return int(first), int(row), int(column)

    def _from_vessel(self) -> NDArray[np.float64]:
        """Return the distance (mm) to dense structures inside the lungs."""
        vessel = self._field & (self._hu > LUNG_HU)
        if not vessel.any():
            return np.full(vessel.shape, np.inf)
        return np.asarray(ndimage.distance_transform_edt(~vessel, sampling=self._sizes))

    def _between_lungs(self) -> NDArray[np.bool_]:
        """Return the voxels outside the lungs with lung on both sides in their row."""
        right = np.maximum.accumulate(self._field, axis=2)
        left = np.maximum.accumulate(self._field[..., ::-1], axis=2)[..., ::-1]
        return np.asarray(right & left & ~self._field)


def _lungs(field: NDArray[np.bool_], sizes: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Return the components with the area of a lung in some slice; in the abdomen bowel gas resembles lung."""
    labels, count = ndimage.label(field)
    areas = [np.bincount(plane.ravel(), minlength=count + 1) * sizes[1] * sizes[2] / 100 for plane in labels]
    kept = np.max(areas, axis=0) >= LUNG_CM2
    kept[0] = False
    return np.asarray(kept[labels])


def _closed(field: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the lungs with their vessels; the first and the last slice are repeated beyond the ends."""
    beyond = (VESSEL_STEPS, VESSEL_STEPS)
    extended = np.pad(field, (beyond, (0, 0), (0, 0)), mode="edge")
    return np.asarray(ndimage.binary_closing(extended, iterations=VESSEL_STEPS)[VESSEL_STEPS:-VESSEL_STEPS])


def _depth(
    field: NDArray[np.bool_], sizes: tuple[float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """Return the depth of each voxel in the lungs (mm), and the nearest voxel outside them.

    There is no lung outside the slices' sides; beyond the first and the last slice the lungs continue, as around a few
    slices of a scan.
    """
    padded = np.pad(field, ((0, 0), (1, 1), (1, 1)))
    depth, edge = ndimage.distance_transform_edt(padded, sampling=sizes, return_indices=True)
    inner = (slice(None), slice(1, -1), slice(1, -1))
    last = np.array(field.shape).reshape(3, 1, 1, 1) - 1
    start = np.array((0, 1, 1)).reshape(3, 1, 1, 1)
    return np.asarray(depth[inner]), np.clip(edge[(slice(None), *inner)] - start, 0, last)
