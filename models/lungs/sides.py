"""Separates the right lung from the left in a mask of both, even if they touch.

Arrays are upright (models/lungs/grid.py), so the right lung has the smaller columns.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]
Mm3 = tuple[float, float, float]

IN_PLANE = ndimage.generate_binary_structure(2, 1)[None]

SMALLEST_LUNG_ML = 150.0
SMALLEST_SHARE = 0.12
"""Of the larger lung: a smaller component is gas, or a lung that this method cannot outline."""
EROSION_MM = (2.5, 5.0, 7.5, 10.0, 15.0, 20.0)
"""Widths by which both lungs are eroded in each slice until they separate; junction lines are thin."""
FRAGMENT_ML = 2.0
"""A part of the lung cut off by a tumour or effusion; smaller ones are noise, and gas has no lung below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """Both lungs as masks of the same shape."""

    right: Bools
    left: Bools


def split_sides(lungs: Bools, spacing: Mm3) -> Sides | None:
    """Return right and left lung; None if the mask does not contain a pair, one on each side."""
    if not lungs.any():
        return None
    (box,) = ndimage.find_objects(lungs.view(np.uint8), max_label=1)
    labels, pair = _pair(lungs[box], spacing)
    if pair is None:
        return None
    owners = _owners(labels, pair, spacing)
    right, left = np.zeros(lungs.shape, bool), np.zeros(lungs.shape, bool)
    right[box], left[box] = owners == pair[0], owners == pair[1]
    return Sides(right=right, left=left)


def _pair(lungs: Bools, spacing: Mm3) -> tuple[Ints, tuple[int, int] | None]:
    """Return the components of the mask, and the numbers of the right and the left lung."""
    labels = _labels(lungs)
    pair = _as_pair(labels, spacing)
    cores, eroded_mm = lungs, 0.0
    for eroded_mm_next in EROSION_MM if pair is None else ():
        steps = round((eroded_mm_next - eroded_mm) / spacing[1])
        cores, eroded_mm = ndimage.binary_erosion(cores, IN_PLANE, max(1, steps)), eroded_mm_next
        pieces = _labels(cores)
        pair = _as_pair(pieces, spacing)
        if pair is not None:
            return _nearest_core(pieces, pair, lungs, spacing), pair
    return labels, pair


def _labels(mask: Bools) -> Ints:
    return np.asarray(ndimage.label(mask)[0], np.int32)


def _as_pair(labels: Ints, spacing: Mm3) -> tuple[int, int] | None:
    """Return the numbers of right and left lung if the two largest components are side by side."""
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    if np.count_nonzero(sizes) < 2:
        return None
    first, second = (int(one) for one in np.argsort(sizes)[:-3:-1])
    least = max(SMALLEST_SHARE * sizes[first], SMALLEST_LUNG_ML * 1000 / math.prod(spacing))
    if sizes[second] < least:
        return None
    quarters = {one: _columns(labels == one, 0.25, 0.75) for one in (first, second)}
    right, left = sorted((first, second), key=lambda one: quarters[one])
    # A part of the same lung is above or below it; a displaced lung still has most voxels on its side.
    return (right, left) if quarters[right][1] < quarters[left][0] else None


def _columns(lung: Bools, *shares: float) -> tuple[float, ...]:
    """Return, for each share, the column up to which this share of the lung's voxels lies."""
    counts = lung.sum((0, 1)).cumsum()
    return tuple(float(np.searchsorted(counts, share * counts[-1])) for share in shares)


def _nearest_core(cores: Ints, pair: tuple[int, int], lungs: Bools, spacing: Mm3) -> Ints:
    """Assign each voxel of the components with a core to the nearer core; number the other components after them."""
    is_core = np.isin(cores, pair)
    nearest = ndimage.distance_transform_edt(~is_core, spacing, return_distances=False, return_indices=True)
    pieces = _labels(lungs)
    is_parted = np.isin(pieces, np.unique(pieces[is_core]))
    return np.where(is_parted, cores[tuple(nearest)], np.where(pieces > 0, pieces + cores.max(), 0))


def _owners(labels: Ints, pair: tuple[int, int], spacing: Mm3) -> Ints:
    """Assign each larger separate component above lung to the lung on its side; remove the others."""
    sizes = np.bincount(labels.ravel())
    least = FRAGMENT_ML * 1000 / math.prod(spacing)
    is_over_lung = np.logical_or.accumulate(np.isin(labels, pair), axis=0)
    above = np.bincount(labels[is_over_lung], minlength=len(sizes))
    middle = _middle(labels, pair)
    target = np.zeros(len(sizes), labels.dtype)
    for number in np.flatnonzero((sizes >= least) & (above > sizes / 2)).tolist():
        target[number] = pair[0] if _columns(labels == number, 0.5)[0] < middle else pair[1]
    target[[0, *pair]] = 0, *pair
    return target[labels]


def _middle(labels: Ints, pair: tuple[int, int]) -> float:
    """Return the column half way between the outer ends of both lungs."""
    return (_columns(labels == pair[0], 0.01)[0] + _columns(labels == pair[1], 0.99)[0]) / 2
