"""Distances between the slices of a series: which are a spacing, and where slices are missing.

Converters accept any stack with one warning (dcm2niix, SimpleITK) or refuse all that vary (dicom2nifti: by more than
5 % and 0.1 mm). Here two rules tell a spacing that changes from slices that are missing. A gap lacks slices if

* **it is alone**: fewer than two of the six gaps nearest to it are about as wide (at least two thirds of it). A
  scanner changes its spacing for a part of the scan, so that a spacing occurs three times in a row, or again and again;
* **the numbers say so**: Instance Number skips there, and by number the positions are even. Where a scanner makes
  wider gaps, it numbers its images without skipping any.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

NEIGHBOURS, LEAST_ALIKE = 6, 2
GAP_RATIO = 1.5
"""A gap this much wider than another one is not about as wide."""
TOLERANCE = 0.1
"""Share of the spacing by which a slice of an even stack may be off its position, at least TOLERANCE_MM."""
TOLERANCE_MM = 0.1
FINEST_RATIO = 1.25
"""Gaps up to this times the smallest are the finest spacing, with rounded positions."""
MOST_SLICES = 2
"""An even stack has at most this many slices for each image, as in dcm2niix, which bounds the memory."""


def missing_slices(heights: Array, numbers: Sequence[int | None]) -> Bools:
    """Return which gaps between neighbours lack slices.

    heights: ascending, mm along the normal of the slices. numbers: Instance Number of each slice, None if it has none.
    """
    gaps = np.diff(heights)
    return _alone(gaps) | _skipped(gaps, numbers)


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


def _alone(gaps: Array) -> Bools:
    alone = np.zeros(len(gaps), bool)
    for index, gap in enumerate(gaps):
        nearest = np.argsort(np.abs(np.arange(len(gaps)) - index), kind="stable")[1 : NEIGHBOURS + 1]
        alike = gaps[nearest] * GAP_RATIO >= gap
        alone[index] = np.count_nonzero(alike) < min(LEAST_ALIKE, len(nearest))
    return alone


def _skipped(gaps: Array, numbers: Sequence[int | None]) -> Bools:
    steps = np.abs(np.diff(np.array([np.nan if number is None else number for number in numbers], np.float64)))
    if not np.isfinite(steps).all() or (steps < 1).any():
        return np.zeros(len(gaps), bool)
    by_number = gaps / steps
    is_even_by_number = np.abs(by_number - np.median(by_number)) <= TOLERANCE * np.median(by_number)
    return np.asarray((steps > 1) & is_even_by_number.all() & (gaps >= GAP_RATIO * gaps.min()))
