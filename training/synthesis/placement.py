"""Where in the lungs of a volume a lesion of some size fits: free, on a vessel, on the wall or on the mediastinum.

Trachea and main bronchi, where they can be told from the lungs, count as mediastinum: no lesion lies within them.
Works on one volume in Hounsfield units, upright (slice, row, column), with its spacing; knows no lesion and no files.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.lungs.air import air_in_body, find_airways
from models.lungs.field import LUNG_HU, lung_field

Site = Literal["free", "vessel", "edge", "wall", "mediastinum"]
"""edge: wall or mediastinum, whichever comes. The dome of the diaphragm counts as either."""
Place = tuple[int, int, int]
"""A voxel: slice, row, column."""

GRID_MM = 2.0
LUNG_CM2 = 40.0
"""What a lung has in some slice; a loop of bowel has half of it."""
VESSEL_STEPS = 2
"""Of the grid: half the width of what within the lungs counts as theirs."""
EDGE_SHARE = 0.6
"""How far the centre of an attached lesion lies from the lung's edge, in radii, give or take EDGE_REACH."""
EDGE_REACH = 0.25
FREE_MM = 2.0
"""Between a free lesion and the lung's edge."""


class Sites:
    """The places of one volume, on a grid of about GRID_MM: looked through once, asked as often as wanted."""

    def __init__(self, hu: NDArray[np.float32], spacing: tuple[float, float, float]) -> None:
        self._stride = np.array([max(1, round(GRID_MM / size)) for size in spacing])
        coarse = tuple(slice(None, None, int(step)) for step in self._stride)
        first, row, column = (float(size * step) for size, step in zip(spacing, self._stride, strict=True))
        self._sizes = (first, row, column)
        self._hu = hu[coarse]
        airways = find_airways(self._hu, air_in_body(self._hu), self._sizes).voxels
        self._field = _closed(_lungs(lung_field(hu, spacing)[coarse] & ~airways, self._sizes)) & ~airways
        self._depth, self._edge = _depth(self._field, self._sizes)

    def find(self, radius_mm: float, site: Site, rng: np.random.Generator) -> Place | None:
        """Return where a ball of this radius has its centre; None where there is no such place."""
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
        """Return the distance (mm) to what is dense within the lungs."""
        vessel = self._field & (self._hu > LUNG_HU)
        if not vessel.any():
            return np.full(vessel.shape, np.inf)
        return np.asarray(ndimage.distance_transform_edt(~vessel, sampling=self._sizes))

    def _between_lungs(self) -> NDArray[np.bool_]:
        """Return what has lung on both sides of it in its row."""
        right = np.maximum.accumulate(self._field, axis=2)
        left = np.maximum.accumulate(self._field[..., ::-1], axis=2)[..., ::-1]
        return np.asarray(right & left & ~self._field)


def _lungs(field: NDArray[np.bool_], sizes: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Return what has the area of a lung in some slice: among slices of the belly, gas in the bowel looks like one."""
    labels, count = ndimage.label(field)
    areas = [np.bincount(plane.ravel(), minlength=count + 1) * sizes[1] * sizes[2] / 100 for plane in labels]
    kept = np.max(areas, axis=0) >= LUNG_CM2
    kept[0] = False
    return np.asarray(kept[labels])


def _closed(field: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the lungs with their vessels; beyond the first and the last slice they go on."""
    beyond = (VESSEL_STEPS, VESSEL_STEPS)
    going_on = np.pad(field, (beyond, (0, 0), (0, 0)), mode="edge")
    return np.asarray(ndimage.binary_closing(going_on, iterations=VESSEL_STEPS)[VESSEL_STEPS:-VESSEL_STEPS])


def _depth(
    field: NDArray[np.bool_], sizes: tuple[float, float, float]
) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """Return how deep in the lungs each voxel lies (mm), and the voxel beyond their edge that is next to it.

    Beyond the sides of the slices there is no lung, as there is none in a body; beyond the first and the last slice the
    lungs go on, as they do around a few slices of a scan.
    """
    ringed = np.pad(field, ((0, 0), (1, 1), (1, 1)))
    depth, edge = ndimage.distance_transform_edt(ringed, sampling=sizes, return_indices=True)
    inner = (slice(None), slice(1, -1), slice(1, -1))
    last = np.array(field.shape).reshape(3, 1, 1, 1) - 1
    start = np.array((0, 1, 1)).reshape(3, 1, 1, 1)
    return np.asarray(depth[inner]), np.clip(edge[(slice(None), *inner)] - start, 0, last)
