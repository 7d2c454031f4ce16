"""Lungs whose every lobe and distance is written down: boxes between planes, LPS mm.

Right lung -50 < x < -10, left lung 10 < x < 50; the mediastinum lies between, the chest wall outside. Fissures are the
planes z = 20 and z = -10 on the right, z = 0 on the left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.lungs.lungs import Lobe, Lungs

Affine = NDArray[np.float64]
Mm3 = tuple[float, float, float]

HALF_MM = np.array([60.0, 30.0, 60.0])
"""The grids reach so far to each side of 0, 0, 0."""
CARINA: Mm3 = (0.0, 0.0, 10.0)
OUTSIDE_FISSURE_MM = 999.0
"""The contract says nothing about the fissure's distance outside of the lobes."""


def grid(spacing_mm: Mm3, signs: Mm3 = (1, 1, 1), lean: float = 0.0) -> Affine:
    """A grid over the whole: spacing along (slice, row, column); a sign of -1 runs to the feet, front or right.

    lean: how far each slice is shifted to the back against the one before, in parts of their distance.
    """
    steps = np.multiply(spacing_mm, signs)
    affine = np.eye(4)
    affine[:3, :3] = [[0, 0, steps[2]], [lean * steps[0], steps[1], 0], [steps[0], 0, 0]]
    affine[:3, 3] = -(affine[:3, :3] @ ((np.array(shape_of(spacing_mm)) - 1) / 2))
    return affine


def shape_of(spacing_mm: Mm3) -> tuple[int, int, int]:
    slices, rows, columns = np.rint(2 * HALF_MM[::-1] / spacing_mm).astype(int)
    return int(slices), int(rows), int(columns)


def centres(affine: Affine, shape: tuple[int, ...]) -> Affine:
    """LPS mm of every voxel, axes (slice, row, column, xyz)."""
    points: Affine = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    return points


def lungs_on(spacing_mm: Mm3 = (2, 2, 2), signs: Mm3 = (1, 1, 1), carina_mm: Mm3 | None = CARINA) -> Lungs:
    affine = grid(spacing_mm, signs)
    x, _, z = np.moveaxis(centres(affine, shape_of(spacing_mm)), -1, 0)
    lobes = np.select(
        [x < 0, x >= 0],
        [
            np.select([z > 20, z > -10], [Lobe.RIGHT_UPPER, Lobe.RIGHT_MIDDLE], Lobe.RIGHT_LOWER),
            np.where(z > 0, Lobe.LEFT_UPPER, Lobe.LEFT_LOWER),
        ],
    )
    lobes[(abs(x) < 10) | (abs(x) > 50)] = 0
    fissure_mm = np.where(x < 0, np.minimum(abs(z - 20), abs(z + 10)), abs(z))
    return Lungs(
        lobes=lobes.astype(np.uint8),
        affine=affine,
        fissure_mm=np.where(lobes > 0, fissure_mm, OUTSIDE_FISSURE_MM).astype(np.float32),
        wall_mm=np.maximum(0, 50 - abs(x)).astype(np.float32),
        mediastinum_mm=np.maximum(0, abs(x) - 10).astype(np.float32),
        carina_mm=carina_mm,
    )
