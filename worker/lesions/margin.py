"""Spiculation and lobulation indices of a lesion's outline.

Both indices compare the outline on axial slices with its convex hull. They have no unit, are 0 for a convex outline,
and hardly depend on slice thickness, since they are computed slice by slice:

* spiculation: 1 - perimeter of the hull / perimeter. Spicules are long and thin and increase the perimeter.
* lobulation: 1 - area / area of the hull. Notches between lobes reduce the area.

They are roughness (perimeter / convex perimeter) and solidity (area / convex area), transformed so that both increase
from 0 towards 1. Both correlate with the spiculation rated by radiologists in LIDC nodules, well for large nodules and
poorly for small ones (Niehaus, Raicu, Furst, Armato, J Digit Imaging 2015, PMC4636719).

For spheres, spheres with 14 lobes and spheres with 30 spicules of 16 to 40 mm diameter, spiculation is up to 0.012,
0.03 to 0.06 and 0.07 to 0.12; lobulation up to 0.01, 0.05 to 0.09 and 0.19 to 0.27. No thresholds are applied: both
depend on the mask. A mask that leaves out the spicules has none; a mask that follows a curved chest wall is concave.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull

Points = NDArray[np.float64]

SMOOTHING_PX = 0.7
"""Standard deviation of the Gaussian that removes pixel steps from the mask; a spicule of one pixel is preserved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roughness:
    """Roughness indices of an outline, 0 (convex) to below 1."""

    spiculation: float
    lobulation: float


def roughness_of(voxels: NDArray[np.bool_], pixel_mm: tuple[float, float]) -> Roughness:
    """Return the mean indices of the lesion's outlines on axial slices, weighted by area; holes are ignored.

    voxels: bool (slice, row, column). pixel_mm: (row, column).
    """
    weighted = np.zeros(3)
    for outline in _outlines(voxels, pixel_mm):
        area = _area(outline)
        if area > 0:
            perimeter = np.linalg.norm(np.diff(outline, axis=0), axis=1).sum()
            hull = ConvexHull(outline)  # in the plane, its `area` is the perimeter and its `volume` the area
            weighted += area * np.array([1, 1 - hull.area / perimeter, 1 - area / hull.volume])
    spiculation, lobulation = np.clip(weighted[1:] / weighted[0], 0, 1)
    return Roughness(spiculation=round(float(spiculation), 4), lobulation=round(float(lobulation), 4))


def _outlines(voxels: NDArray[np.bool_], pixel_mm: tuple[float, float]) -> Iterator[Points]:
    """Yield the closed outlines of all parts and of their holes on each slice, (n, 2): row, column in mm."""
    inside = np.pad(voxels, ((0, 0), (3, 3), (3, 3))).astype(np.float32)
    smooth = ndimage.gaussian_filter(inside, (0, SMOOTHING_PX, SMOOTHING_PX), truncate=4)
    for plane in smooth:
        # The smoothed mask of a few pixels may not reach 0.5: a lower level still gives it an outline.
        level = min(0.5, float(plane.max()) / 2)
        if level > 0:
            for line in contour_generator(z=plane).lines(level):
                yield np.asarray(line)[:, ::-1] * pixel_mm


def _area(outline: Points) -> float:
    """Return the signed area of a closed polygon (shoelace formula); negative for a hole."""
    rows, columns = outline[:, 0], outline[:, 1]
    return float(columns[:-1] @ rows[1:] - columns[1:] @ rows[:-1]) / 2
