"""T category of one lesion by its size.

* The size is the long axis on an axial slice, the line drawn in the report. TNM uses the greatest dimension in any
  plane; if the longest 3D diameter is in a higher category, a clause says so and T is not changed.
* Sizes are rounded to whole millimetres, half up, before comparison: Bankier et al., Radiology 2017;285:584
  (Fleischner Society). 30.4 mm is 30 mm and T1c, 30.5 mm is 31 mm and T2a.
* Table: TNM 9th edition, Van Schil et al., J Thorac Oncol 2024;19:749; Detterbeck et al., CHEST 2024;166:882.
* Ground-glass and part-solid lesions: Travis et al., J Thorac Oncol 2016;11:1204, adopted by the 9th edition. The size
  of a part-solid lesion is that of its solid part.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from worker.lesions.density import Consistency
from worker.lesions.measure import Measurement
from worker.lesions.uncertainty import Interval, Uncertainty

CATEGORIES = ("Tis", "T1mi", "T1a", "T1b", "T1c", "T2a", "T2b", "T3", "T4")
"""In ascending order."""
TABLE = ((10, "T1a"), (20, "T1b"), (30, "T1c"), (40, "T2a"), (50, "T2b"), (70, "T3"))
"""(upper limit in mm, inclusive; category); T4 above."""
MAX_IN_SITU_MM = 30
MAX_MINIMALLY_INVASIVE_MM = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeOfT:
    """A lesion's T category by size."""

    category: str
    counted_mm: int
    """Size of the solid part, rounded; 0 for ground-glass."""
    basis: tuple[str, ...]
    """One clause for the category, then one for each reason to doubt it."""

    @property
    def rank(self) -> int:
        """Index of the category in CATEGORIES."""
        return CATEGORIES.index(self.category)


def whole_mm(length_mm: float) -> int:
    """Return the length in whole millimetres, rounded half up."""
    return math.floor(length_mm + 0.5)


def category_of(size_mm: float) -> str:
    """Return the T category of a size, rounded to whole millimetres."""
    size = whole_mm(size_mm)
    return next((category for limit, category in TABLE if size <= limit), "T4")


def t_by_size(measured: Measurement, uncertainty: Uncertainty) -> SizeOfT:
    """Return the T category of a lesion by size and density."""
    density = measured.density
    if density.consistency is Consistency.GROUND_GLASS:
        return _ground_glass(whole_mm(measured.long_axis.length_mm))
    if density.consistency is Consistency.PART_SOLID:
        return _part_solid(whole_mm(measured.long_axis.length_mm), whole_mm(density.solid_long_axis_mm))
    return _solid(measured, uncertainty)


def _solid(measured: Measurement, uncertainty: Uncertainty) -> SizeOfT:
    size = whole_mm(measured.long_axis.length_mm)
    category = category_of(size)
    doubts = [
        _longest_diameter_clause(measured, category),
        _interval_clause(uncertainty.long_axis_mm),
    ]
    return SizeOfT(
        category=category,
        counted_mm=size,
        basis=(f"{size} mm: {category} by size", *(doubt for doubt in doubts if doubt)),
    )


def _ground_glass(size: int) -> SizeOfT:
    """Return Tis up to 3 cm (adenocarcinoma in situ), T1a above, where invasion is likely."""
    if size <= MAX_IN_SITU_MM:
        return SizeOfT(category="Tis", counted_mm=0, basis=(f"{size} mm, ground-glass: Tis (AIS) by size",))
    return SizeOfT(category="T1a", counted_mm=0, basis=(f"{size} mm, ground-glass: T1a by size",))


def _part_solid(size: int, solid: int) -> SizeOfT:
    """Return T1mi (minimally invasive) for a solid part up to 5 mm in a lesion up to 3 cm, else T by the solid part."""
    is_minimal = solid <= MAX_MINIMALLY_INVASIVE_MM and size <= MAX_IN_SITU_MM
    category = "T1mi" if is_minimal else category_of(solid)
    clause = f"{size} mm, part-solid with a solid part of {solid} mm: {category} by size"
    return SizeOfT(category=category, counted_mm=solid, basis=(clause,))


def _longest_diameter_clause(measured: Measurement, category: str) -> str | None:
    longest = measured.shape.largest_diameter_mm
    higher = category_of(longest)
    if CATEGORIES.index(higher) <= CATEGORIES.index(category):
        return None
    return f"longest diameter in any direction {whole_mm(longest)} mm: {higher} if measured in that plane"


def _interval_clause(interval: Interval) -> str | None:
    low, high = category_of(interval.low), category_of(interval.high)
    return None if low == high else f"within the size's 95 % interval: {low} to {high}"
