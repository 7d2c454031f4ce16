"""Closes a lung over its vessels and over tumours, also those that hang on the wall or the mediastinum.

Knows no heart and no rib. What counts as inside follows from the lung's own shape: a voxel belongs to it when it lies
in a gap between lung above and lung below and sees lung in most directions of its slice. A tumour is so surrounded,
whatever it hangs on; great vessels, diaphragm and chest wall run on, and of the heart only a thin cap is, which is left
out. Arrays are upright (models/lungs/grid.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Bools = NDArray[np.bool_]
Mm3 = tuple[float, float, float]

REACH_MM = 55.0
"""How far lung may lie to be seen: across a tumour of 50 mm."""
VESSEL_MM = 5.0
"""Half the width of the vessels, bronchi and clefts that are closed over without asking."""
CAP_MM = 5.0
"""What is thinner on the mediastinum's side is a cap of the heart that bulges into the lung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """How high a gap may be, and how many of the eight directions of its slice must show lung."""

    height_mm: float
    directions: int


WALL = _Rule(height_mm=55.0, directions=3)
"""The wall is flat or hollow: what bulges from it is no part of it."""
MEDIASTINUM = _Rule(height_mm=40.0, directions=5)
"""A heart of 90 mm has a cap of 4.6 mm, thinner than CAP_MM, below a chord of 40 mm."""
SLICE_DIRECTIONS = tuple((0, row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0))


def closed(lung: Bools, other: Bools, spacing: Mm3, *, is_right: bool) -> Bools:
    """Return the lung with what is inside it; never a voxel of `other`, airways or the lung of the other side."""
    margin = math.ceil(REACH_MM / 2 / min(spacing)) + 1
    box = ndimage.find_objects(lung.view(np.uint8), max_label=1)[0]
    whole = np.zeros(lung.shape, bool)
    if box is None:
        return whole
    inner = np.pad(lung[box], margin)
    free = ~np.pad(other[box], margin)
    inner |= surrounded(inner, spacing, is_right=is_right) & free
    inner = ndimage.binary_fill_holes(_bridged(inner, _odd(VESSEL_MM, spacing))) & free
    whole[box] = inner[(slice(margin, -margin),) * 3]
    return whole


def surrounded(lung: Bools, spacing: Mm3, *, is_right: bool) -> Bools:
    """Return the voxels outside a lung that it surrounds, as the module's head says."""
    seen = np.zeros(lung.shape, np.uint8)
    for direction in SLICE_DIRECTIONS:
        seen += _sees(lung, direction, spacing)
    # Lung lies between it and the mediastinum: towards the middle, or, in the rear half, where no heart lies, in front.
    rows = np.arange(lung.shape[1])[:, None]
    middle_row = np.average(rows[:, 0], weights=lung.sum((0, 2)))
    is_wall = _sees(lung, (0, 0, 1 if is_right else -1), spacing)
    is_wall |= _sees(lung, (0, -1, 0), spacing) & (rows > middle_row)
    on_wall, on_mediastinum = (
        _bridged(lung, (_odd(rule.height_mm / 2, spacing)[0], 1, 1)) & (seen >= rule.directions) & ~lung
        for rule in (WALL, MEDIASTINUM)
    )
    on_mediastinum = ~_bridged(~(on_mediastinum & ~is_wall), _odd(CAP_MM / 2, spacing))
    inside: Bools = (on_wall & is_wall) | on_mediastinum
    return inside


def _sees(lung: Bools, direction: tuple[int, int, int], spacing: Mm3) -> Bools:
    """Return from where lung lies within REACH_MM in this direction; what is seen doubles with each step."""
    step_mm = math.hypot(*(step * size for step, size in zip(direction, spacing, strict=True)))
    reach = max(1, round(REACH_MM / step_mm))
    seen, done = _moved(lung, direction, 1), 1
    while done < reach:
        step = min(done, reach - done)
        seen |= _moved(seen, direction, step)
        done += step
    return seen


def _moved(array: Bools, direction: tuple[int, int, int], steps: int) -> Bools:
    """Return what each voxel finds `steps` ahead in this direction; beyond the array lies nothing."""
    moved = np.zeros_like(array)
    here, there = [], []
    for step, size in zip(direction, array.shape, strict=True):
        shift = min(steps, size) * step
        here.append(slice(max(0, -shift), size - max(0, shift)))
        there.append(slice(max(0, shift), size - max(0, -shift)))
    moved[tuple(here)] = array[tuple(there)]
    return moved


def _odd(half_mm: float, spacing: Mm3) -> tuple[int, int, int]:
    """Return widths in voxels of so much to each side."""
    slices, rows, columns = (2 * round(half_mm / size) + 1 for size in spacing)
    return slices, rows, columns


def _bridged(lung: Bools, widths: tuple[int, int, int]) -> Bools:
    """Close by a box that is so many voxels wide."""
    array = lung.view(np.uint8)
    for function in (ndimage.maximum_filter1d, ndimage.minimum_filter1d):
        for axis, width in enumerate(widths):
            if width > 1:
                array = function(array, width, axis=axis, mode="nearest")
    return array.astype(bool)
