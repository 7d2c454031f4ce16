"""Input of the networks, shared by training and inference: window, pixel size, neighbouring slices."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SLICES = 5
"""Axial slices in one input: the middle one is outlined, the others are its neighbours."""
SLICE_STEP_MM = 2.5
"""Distance of the neighbours, which are interpolated, for any slice spacing."""
PIXEL_MM = 1.0
"""Size of the network's pixels."""
WINDOW_HU = (-1000.0, 400.0)


def normalise(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Map WINDOW_HU to -1..1, clipped."""
    low, high = WINDOW_HU
    scaled = (hu - np.float32(low)) * np.float32(2 / (high - low)) - np.float32(1)
    return np.asarray(np.clip(scaled, -1, 1), np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planes:
    """The planes of one input as means of slices. shares: float32 (SLICES, slice), each slice's weight per plane."""

    first: int
    shares: NDArray[np.float32]

    @property
    def slices(self) -> slice:
        """The slices of the stack with a weight."""
        return slice(self.first, self.first + self.shares.shape[1])


def planes(index: float, slices: int, step: float, thickness: float = 1.0) -> Planes:
    """Return the planes around slice `index`, `step` slices apart; beyond the ends the last slice is repeated.

    Each plane is the mean over `thickness` slices around it, as a scanner makes thick slices from thin ones; for 1, the
    minimum, that is linear interpolation, and the middle plane is the slice itself.
    """
    half, reach = SLICES // 2, max(thickness, 1.0) / 2
    middles = np.clip(index + step * np.arange(-half, half + 1), 0, slices - 1)[:, None]
    first = max(0, math.floor(middles.min() - reach + 0.5))
    numbers = np.arange(first, min(slices - 1, math.ceil(middles.max() + reach - 0.5)) + 1)
    overlap = np.minimum(middles + reach, numbers + 0.5) - np.maximum(middles - reach, numbers - 0.5)
    shares = np.clip(overlap, 0, None)
    return Planes(first=first, shares=np.asarray(shares / shares.sum(1, keepdims=True), np.float32))


def slice_step(spacing_mm: float) -> float:
    """Return SLICE_STEP_MM in slices of this spacing."""
    return SLICE_STEP_MM / spacing_mm


def slice_positions(spacing_mm: float) -> tuple[float, ...]:
    """Return the positions in a slice at which the network runs, in slices from its middle.

    They are about SLICE_STEP_MM apart, each in the middle of an equal part of the slice: in a slice of 5 mm in which a
    lesion ends, half may be lesion.
    """
    count = max(1, round(spacing_mm / SLICE_STEP_MM))
    return tuple((2 * number + 1) / (2 * count) - 0.5 for number in range(count))
