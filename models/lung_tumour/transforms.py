"""What the network sees, shared by training and inference: window, pixel size, neighbouring slices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SLICES = 5
"""Axial slices in one input: the middle one is outlined, the others are its neighbours."""
SLICE_STEP_MM = 2.5
"""Wanted distance of neighbours; the nearest whole number of slices is taken, one at least."""
PIXEL_MM = 1.0
"""Size of the network's pixels."""
WINDOW_HU = (-1000.0, 400.0)


def normalise(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    """Map WINDOW_HU to -1..1, clipped."""
    low, high = WINDOW_HU
    scaled = (hu - np.float32(low)) * np.float32(2 / (high - low)) - np.float32(1)
    return np.asarray(np.clip(scaled, -1, 1), np.float32)


def neighbours(index: int, slices: int, step: int) -> list[int]:
    """Return the SLICES indices around `index`, `step` apart, held inside the stack."""
    half = SLICES // 2
    return [min(max(index + k * step, 0), slices - 1) for k in range(-half, half + 1)]


def slice_step(spacing_mm: float) -> int:
    """Return how many slices lie between neighbours in a stack of this spacing."""
    return max(1, round(SLICE_STEP_MM / spacing_mm))
