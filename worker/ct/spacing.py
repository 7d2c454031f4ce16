"""The even stack for slices at uneven distances: whether one is needed, its spacing, and where the slices lie in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dicom_node.selection.missing_slices import TOLERANCE

Array = NDArray[np.float64]

TOLERANCE_MM = 0.1
"""A slice of an even stack may be this far off its position at least, else TOLERANCE of the spacing."""
FINEST_RATIO = 1.25
"""Gaps up to this times the smallest are the finest spacing, with rounded positions."""
MOST_SLICES = 2
"""An even stack has at most this many slices for each image, as in dcm2niix, which bounds the memory."""


def tolerance_mm(heights: Array) -> float:
    """Return how far a slice may be off its position in an even, straight stack."""
    return max(TOLERANCE * float(np.median(np.diff(heights))), TOLERANCE_MM)


def is_even(heights: Array) -> bool:
    """Return whether the slices are evenly spaced."""
    even = np.linspace(heights[0], heights[-1], len(heights))
    return bool(np.abs(heights - even).max() <= tolerance_mm(heights))


def even_spacing_mm(heights: Array) -> float:
    """Return the spacing of the even stack for slices at uneven heights: the finest, so that nothing is averaged away.

    It is wider if the stack had more than MOST_SLICES slices for each image.
    """
    gaps = np.diff(heights)
    finest = float(gaps[gaps <= FINEST_RATIO * gaps.min()].mean())
    return max(finest, float(heights[-1] - heights[0]) / (MOST_SLICES * len(heights) - 1))


def even_places(heights: Array, spacing_mm: float) -> Array:
    """Return the slice coordinate of each height in an even stack; its first slice is at or just below the first.

    The stack goes through the finest part, whose slices are then not interpolated.
    """
    anchor = int(np.diff(heights).argmin())
    places = (heights - heights[anchor]) / spacing_mm
    shifted: Array = places - np.floor(places[0] + 1e-3)
    return shifted
