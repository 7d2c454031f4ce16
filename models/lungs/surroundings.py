"""Distances from the fissures, the chest wall (with spine and diaphragm) and the mediastinum (with the hila).

Only masks are used: the borders are found by position, not by density. Arrays are upright (models/lungs/grid.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.lungs.sides import Sides

Bools = NDArray[np.bool_]
Array = NDArray[np.float32]
Mm3 = tuple[float, float, float]

SPINE_MM = 58.0
"""From the lungs' rear end to the front of the vertebrae: vertebral body 30 mm, canal and arch behind it 28 mm."""
DOME_MM = (10.0, 25.0)
"""How far below the top of the right dome the mediastinum ends: on the right, and in the middle and on the left.

There the diaphragm is lower and the heart lies on it.
"""
MIDDLE_MM = 30.0


def fissure_distance(lobes: NDArray[np.uint8], sides: Sides, spacing: Mm3) -> Array:
    """Return, inside a lobe, the distance in mm to the fissure towards another lobe of the same lung."""
    distance = np.zeros(lobes.shape, np.float32)
    for lung in (sides.right, sides.left):
        box = ndimage.find_objects(lung.view(np.uint8), max_label=1)[0]
        names = lobes[box]
        beside = _beside_another(names)
        if beside.any():
            mm = ndimage.distance_transform_edt(~beside, spacing) + min(spacing) / 2
            distance[box] = np.where(names > 0, mm, distance[box])
    return distance


def _beside_another(names: NDArray[np.uint8]) -> Bools:
    """Return the voxels of a lobe with a neighbour in another lobe."""
    beside = np.zeros(names.shape, bool)
    for axis in range(names.ndim):
        one, next_ = (np.moveaxis(names, axis, 0)[part] for part in (slice(None, -1), slice(1, None)))
        differs = (one != next_) & (one > 0) & (next_ > 0)
        view = np.moveaxis(beside, axis, 0)
        view[:-1] |= differs
        view[1:] |= differs
    return beside


def mediastinum(sides: Sides, spacing: Mm3) -> Bools:
    """Return the voxels between the lungs, in front of the spine and above the diaphragm."""
    rows = np.arange(sides.right.shape[1])[:, None]
    columns = np.arange(sides.right.shape[2])
    middle = _middle(sides)
    # Voxels with the lung of their side farther out in the same row.
    between = np.logical_or.accumulate(sides.right, axis=2) & (columns < middle)
    between |= np.logical_or.accumulate(sides.left[:, :, ::-1], axis=2)[:, :, ::-1] & (columns >= middle)
    between &= ~(sides.right | sides.left)
    between &= rows < (_rear_end(sides) - SPINE_MM / spacing[1])[:, None, None]
    heights = np.arange(sides.right.shape[0])[:, None, None]
    is_right = (middle - columns) * spacing[2] > MIDDLE_MM
    floor = _dome(sides.right, middle) - np.where(is_right, *DOME_MM) / spacing[0]
    return between & (heights >= floor)


def _middle(sides: Sides) -> float:
    right, left = (np.flatnonzero(lung.any((0, 1))) for lung in (sides.right, sides.left))
    return float(right[0] + left[-1]) / 2


def _rear_end(sides: Sides) -> NDArray[np.float64]:
    """Return the rearmost row of the lungs in each slice, smoothed along the body; constant beyond the lungs."""
    rows = np.asarray((sides.right | sides.left).any(axis=2), bool)
    slices = np.flatnonzero(np.asarray(rows.any(axis=1)))
    last = rows.shape[1] - 1 - rows[slices, ::-1].argmax(1)
    return np.interp(np.arange(len(rows)), slices, ndimage.median_filter(last, 5, mode="nearest"))


def _dome(lung: Bools, middle: float) -> float:
    """Return the slice of the diaphragm's top under this lung, from its outer columns, where there is no heart."""
    columns = np.arange(lung.shape[2])
    outermost = np.abs(columns[lung.any((0, 1))] - middle).max()
    outwards = np.abs(columns - middle) / outermost
    under = lung[:, :, (outwards > 0.55) & (outwards < 0.85)]
    return float(np.quantile(under.argmax(0)[under.any(0)], 0.9))


def distance_to(target: Bools, box: tuple[slice, ...], spacing: Mm3) -> Array:
    """Return each voxel's distance in mm to the target, computed in the box; outside, that of the nearest voxel."""
    if not target[box].any():
        return np.full(target.shape, np.inf, np.float32)
    inside = ndimage.distance_transform_edt(~target[box], spacing).astype(np.float32)
    around = [(part.start, size - part.stop) for part, size in zip(box, target.shape, strict=True)]
    return np.pad(inside, around, mode="edge")
