"""Closes a lung over its vessels and over tumours, including those attached to wall or mediastinum.

A voxel belongs to a lung if it is in a gap between lung above and lung below, and lung is visible in most directions of
its slice. This holds for tumours, attached or not; great vessels, diaphragm and chest wall continue beyond the lung,
and of the heart only a thin cap meets the rule, which is excluded. Arrays are upright (models/lungs/grid.py).
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
"""Largest distance at which lung counts as visible: across a tumour of 50 mm."""
VESSEL_MM = 5.0
"""Half the width of vessels, bronchi and clefts that are always closed."""
CAP_MM = 5.0
"""Thinner parts at the mediastinum are a cap of the heart that bulges into the lung."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """Largest height of a gap, and least number of the eight directions of its slice in which lung is visible."""

    height_mm: float
    directions: int


WALL = _Rule(height_mm=55.0, directions=3)
"""The wall is flat or concave: what bulges from it is not part of it."""
MEDIASTINUM = _Rule(height_mm=40.0, directions=5)
"""A heart of 90 mm has a cap of 4.6 mm, thinner than CAP_MM, below a chord of 40 mm."""
SLICE_DIRECTIONS = tuple((0, row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if (row, column) != (0, 0))


def closed_lung(lung: Bools, other: Bools, spacing: Mm3, *, is_right: bool) -> Bools:
    """Return the lung with its inside, without voxels of `other`: airways and the lung of the other side."""
    margin = math.ceil(REACH_MM / 2 / min(spacing)) + 1
    box = ndimage.find_objects(lung.view(np.uint8), max_label=1)[0]
    whole = np.zeros(lung.shape, bool)
    if box is None:
        return whole
    inner = np.pad(lung[box], margin)
    free = ~np.pad(other[box], margin)
    inner |= surrounded(inner, spacing, is_right=is_right) & free
    inner = ndimage.binary_fill_holes(_box_closing(inner, _odd_widths(VESSEL_MM, spacing))) & free
    whole[box] = inner[(slice(margin, -margin),) * 3]
    return whole


def surrounded(lung: Bools, spacing: Mm3, *, is_right: bool) -> Bools:
    """Return the voxels outside a lung that it surrounds, by the rule of the module's docstring."""
    seen = np.zeros(lung.shape, np.uint8)
    for direction in SLICE_DIRECTIONS:
        seen += _lung_in_direction(lung, direction, spacing)
    # On the wall if lung is towards the middle, or, in the rear half, where there is no heart, in front.
    rows = np.arange(lung.shape[1])[:, None]
    middle_row = np.average(rows[:, 0], weights=lung.sum((0, 2)))
    is_wall = _lung_in_direction(lung, (0, 0, 1 if is_right else -1), spacing)
    is_wall |= _lung_in_direction(lung, (0, -1, 0), spacing) & (rows > middle_row)
    on_wall, on_mediastinum = (
        _box_closing(lung, (_odd_widths(rule.height_mm / 2, spacing)[0], 1, 1)) & (seen >= rule.directions) & ~lung
        for rule in (WALL, MEDIASTINUM)
    )
    on_mediastinum = ~_box_closing(~(on_mediastinum & ~is_wall), _odd_widths(CAP_MM / 2, spacing))
    inside: Bools = (on_wall & is_wall) | on_mediastinum
    return inside


def _lung_in_direction(lung: Bools, direction: tuple[int, int, int], spacing: Mm3) -> Bools:
    """Return the voxels from which lung lies within REACH_MM in this direction; the reach doubles with each step."""
    step_mm = math.hypot(*(step * size for step, size in zip(direction, spacing, strict=True)))
    reach = max(1, round(REACH_MM / step_mm))
    seen, done = _moved(lung, direction, 1), 1
    while done < reach:
        step = min(done, reach - done)
        seen |= _moved(seen, direction, step)
        done += step
    return seen


def _moved(array: Bools, direction: tuple[int, int, int], steps: int) -> Bools:
    """Return the array shifted so that each voxel holds the value `steps` ahead in this direction; False beyond."""
    moved = np.zeros_like(array)
    target, source = [], []
    for step, size in zip(direction, array.shape, strict=True):
        shift = min(steps, size) * step
        target.append(slice(max(0, -shift), size - max(0, shift)))
        source.append(slice(max(0, shift), size - max(0, -shift)))
    moved[tuple(target)] = array[tuple(source)]
    return moved


def _odd_widths(half_mm: float, spacing: Mm3) -> tuple[int, int, int]:
    """Return the odd widths in voxels that reach `half_mm` to each side."""
    slices, rows, columns = (2 * round(half_mm / size) + 1 for size in spacing)
    return slices, rows, columns


def _box_closing(lung: Bools, widths: tuple[int, int, int]) -> Bools:
    """Return the closing by a box of these widths in voxels."""
    array = lung.view(np.uint8)
    for function in (ndimage.maximum_filter1d, ndimage.minimum_filter1d):
        for axis, width in enumerate(widths):
            if width > 1:
                array = function(array, width, axis=axis, mode="nearest")
    return array.astype(bool)
