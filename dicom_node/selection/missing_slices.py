"""Where slices of a series are missing: between two neighbours whose distance is no spacing of the series.

Converters accept any stack with one warning (dcm2niix, SimpleITK) or refuse all that vary (dicom2nifti: by more than
5 % and 0.1 mm). Here two rules tell a spacing that changes from slices that are missing. A gap lacks slices if

* **it is alone**: fewer than two of the six gaps nearest to it are about as wide (at least two thirds of it). A
  scanner changes its spacing for a part of the scan, so that a spacing occurs three times in a row, or again and again;
* **the numbers say so**: Instance Number skips there, and by number the positions are even. Where a scanner makes
  wider gaps, it numbers its images without skipping any.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from itertools import pairwise

NEIGHBOURS, LEAST_ALIKE = 6, 2
GAP_RATIO = 1.5
"""A gap this much wider than another one is not about as wide."""
TOLERANCE = 0.1
"""Share of the spacing by which a slice of an even stack may be off its position."""


def missing_slices(heights: Sequence[float], numbers: Sequence[int | None]) -> list[bool]:
    """Return which gaps between neighbours lack slices.

    heights: ascending, mm along the normal of the slices. numbers: Instance Number of each slice, None if it has none.
    """
    gaps = [above - below for below, above in pairwise(heights)]
    skipped = _skipped(gaps, numbers)
    return [_is_alone(gaps, index) or skipped[index] for index in range(len(gaps))]


def _is_alone(gaps: Sequence[float], index: int) -> bool:
    nearest = sorted(range(len(gaps)), key=lambda other: abs(other - index))[1 : NEIGHBOURS + 1]
    alike = sum(gaps[other] * GAP_RATIO >= gaps[index] for other in nearest)
    return alike < min(LEAST_ALIKE, len(nearest))


def _skipped(gaps: Sequence[float], numbers: Sequence[int | None]) -> list[bool]:
    known = [number for number in numbers if number is not None]
    steps = [abs(above - below) for below, above in pairwise(known)]
    if len(known) < len(numbers) or not steps or min(steps) < 1:
        return [False] * len(gaps)
    by_number = [gap / step for gap, step in zip(gaps, steps, strict=True)]
    usual = statistics.median(by_number)
    if any(abs(each - usual) > TOLERANCE * usual for each in by_number):
        return [False] * len(gaps)
    return [step > 1 and gap >= GAP_RATIO * min(gaps) for gap, step in zip(gaps, steps, strict=True)]
