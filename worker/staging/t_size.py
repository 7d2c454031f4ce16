"""T by the size of one lesion alone. Knows no other lesion, no lobe and no invasion.

* The size is the long axis on an axial slice: the line that the report draws. TNM means the greatest dimension in any
  plane; where the longest diameter in space falls into a higher category, a clause says so and T stays.
* Sizes are rounded to whole millimetres, a half up, before they are compared: Bankier et al., Radiology 2017;285:584
  (Fleischner Society). 30.4 mm is 30 mm and T1c, 30.5 mm is 31 mm and T2a.
* Table: TNM 9th edition, Van Schil et al., J Thorac Oncol 2024;19:749; Detterbeck et al., CHEST 2024;166:882.
* Ground-glass and part-solid lesions: Travis et al., J Thorac Oncol 2016;11:1204, taken over by the 9th edition. Of a
  part-solid lesion the solid part counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from worker.lesions.density import Consistency
from worker.lesions.measure import Measurement
from worker.lesions.uncertainty import Interval, Uncertainty

CATEGORIES = ("Tis", "T1mi", "T1a", "T1b", "T1c", "T2a", "T2b", "T3", "T4")
"""The least advanced first."""
TABLE = ((10, "T1a"), (20, "T1b"), (30, "T1c"), (40, "T2a"), (50, "T2b"), (70, "T3"))
"""Up to and with so many mm; above is T4."""
LARGEST_IN_SITU_MM = 30
LARGEST_MINIMAL_MM = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeOfT:
    """A lesion's T by size alone."""

    category: str
    counted_mm: int
    """The size that counts: that of the solid part; 0 for ground-glass."""
    basis: tuple[str, ...]
    """One clause for the category, then one for each doubt about it."""

    @property
    def rank(self) -> int:
        """Place of the category among CATEGORIES."""
        return CATEGORIES.index(self.category)


def whole_mm(length_mm: float) -> int:
    """Round to whole millimetres, a half up."""
    return math.floor(length_mm + 0.5)


def category_of(size_mm: float) -> str:
    """Return the category of a size in the table."""
    size = whole_mm(size_mm)
    return next((category for limit, category in TABLE if size <= limit), "T4")


def t_by_size(measured: Measurement, uncertainty: Uncertainty | None = None) -> SizeOfT:
    """Return the T category of a lesion of this size and density; without a density it is taken as solid."""
    density = measured.density
    if density is None:
        return _solid(measured, uncertainty, ", taken as solid")
    if density.consistency is Consistency.GROUND_GLASS:
        return _ground_glass(whole_mm(measured.long_axis.length_mm))
    if density.consistency is Consistency.PART_SOLID:
        return _part_solid(whole_mm(measured.long_axis.length_mm), whole_mm(density.solid_long_axis_mm))
    return _solid(measured, uncertainty, "")


def _solid(measured: Measurement, uncertainty: Uncertainty | None, remark: str) -> SizeOfT:
    size = whole_mm(measured.long_axis.length_mm)
    category = category_of(size)
    doubts = [_in_space(measured, category), _within(uncertainty.long_axis_mm if uncertainty else None)]
    return SizeOfT(
        category=category,
        counted_mm=size,
        basis=(f"{size} mm: {category} by size{remark}", *(doubt for doubt in doubts if doubt)),
    )


def _ground_glass(size: int) -> SizeOfT:
    """Adenocarcinoma in situ measures up to 3 cm; ground-glass above that is T1a, as it is then likely to invade."""
    if size <= LARGEST_IN_SITU_MM:
        return SizeOfT(category="Tis", counted_mm=0, basis=(f"{size} mm, ground-glass: Tis (AIS) by size",))
    return SizeOfT(category="T1a", counted_mm=0, basis=(f"{size} mm, ground-glass: T1a by size",))


def _part_solid(size: int, solid: int) -> SizeOfT:
    """Minimally invasive: a solid part up to 5 mm in a lesion up to 3 cm."""
    is_minimal = solid <= LARGEST_MINIMAL_MM and size <= LARGEST_IN_SITU_MM
    category = "T1mi" if is_minimal else category_of(solid)
    clause = f"{size} mm, part-solid with a solid part of {solid} mm: {category} by size"
    return SizeOfT(category=category, counted_mm=solid, basis=(clause,))


def _in_space(measured: Measurement, category: str) -> str | None:
    if measured.shape is None:
        return None
    longest = measured.shape.largest_diameter_mm
    higher = category_of(longest)
    if CATEGORIES.index(higher) <= CATEGORIES.index(category):
        return None
    return f"longest diameter in any direction {whole_mm(longest)} mm: {higher} if measured in that plane"


def _within(interval: Interval | None) -> str | None:
    if interval is None:
        return None
    low, high = category_of(interval.low), category_of(interval.high)
    return None if low == high else f"within the size's 95 % interval: {low} to {high}"
