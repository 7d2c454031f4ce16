"""What two scans of an unchanged lesion repeat by chance: a change is real only beyond it. Measures nothing.

The limits join, in quadrature, what each scan's own voxels allow (`worker/lesions/uncertainty.py`: slice thickness,
size, noise) and what repeat scans of patients on the same day show beyond that (breathing, the outline made anew):

* Volume: +27 % (and its inverse, -21 %). Gietema et al., Radiology 2007;245:888: limits of agreement -21 to +24 %;
  Marchiano et al., Radiology 2009;251:919: +-27 %; BTS 2015 and NELSON call 25 % growth.
* Axes: 2 mm or 7.3 %, whichever is more. MacMahon et al., Radiology 2017;284:228 (Fleischner): 2 mm is growth; Oxnard
  et al., J Clin Oncol 2011;29:3114: a third of diameters repeated within minutes differ by over 2 mm; Zhao et al.,
  Radiology 2009;252:263: -7.3 to +6.2 % by computer.

That limits widen as lesions get smaller, which the floors alone would not, is what the QIBA profile for small lung
nodules asks for.

Not covered: another reader or another model on the second scan, contrast agent, and a change of reconstruction kernel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from worker.lesions.uncertainty import Interval, Sizes, uncertainty_of

VOLUME_FLOOR = 0.27
AXIS_FLOOR_MM = 2.0
AXIS_FLOOR = 0.073


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeatability:
    """The changes, later against earlier, that 95 % of unchanged lesions stay within."""

    volume_percent: Interval
    long_axis_mm: Interval
    short_axis_mm: Interval


def repeatability_of(earlier: Sizes, later: Sizes) -> Repeatability:
    """Return the limits of chance between these two scans of one lesion."""
    return Repeatability(
        volume_percent=_volume_limits(earlier, later),
        long_axis_mm=_axis_limits(
            (earlier.long_axis_mm, uncertainty_of(earlier).long_axis_mm),
            (later.long_axis_mm, uncertainty_of(later).long_axis_mm),
        ),
        short_axis_mm=_axis_limits(
            (earlier.short_axis_mm, uncertainty_of(earlier).short_axis_mm),
            (later.short_axis_mm, uncertainty_of(later).short_axis_mm),
        ),
    )


def is_within_repeatability(earlier: Sizes, later: Sizes) -> bool:
    """Say whether the change in volume may be chance."""
    limits = repeatability_of(earlier, later).volume_percent
    return limits.low <= 100 * (later.volume_ml / earlier.volume_ml - 1) <= limits.high


def is_axis_within_repeatability(earlier: Sizes, later: Sizes) -> bool:
    """Say whether the change in the long axis may be chance."""
    limits = repeatability_of(earlier, later).long_axis_mm
    return limits.low <= later.long_axis_mm - earlier.long_axis_mm <= limits.high


def _volume_limits(earlier: Sizes, later: Sizes) -> Interval:
    """An unchanged lesion seems to grow where the earlier scan made it smaller than it is, and the later one larger."""
    floor = math.log1p(VOLUME_FLOOR)
    before, after = uncertainty_of(earlier).volume_ml, uncertainty_of(later).volume_ml
    growth = math.hypot(floor, math.log(before.high / earlier.volume_ml), math.log(later.volume_ml / after.low))
    shrinkage = math.hypot(floor, math.log(earlier.volume_ml / before.low), math.log(after.high / later.volume_ml))
    return Interval(low=round(100 * math.expm1(-shrinkage), 1), high=round(100 * math.expm1(growth), 1))


def _axis_limits(earlier: tuple[float, Interval], later: tuple[float, Interval]) -> Interval:
    (first_mm, before), (second_mm, after) = earlier, later
    floor = max(AXIS_FLOOR_MM, AXIS_FLOOR * (first_mm + second_mm) / 2)
    growth = math.hypot(floor, before.high - first_mm, second_mm - after.low)
    shrinkage = math.hypot(floor, first_mm - before.low, after.high - second_mm)
    return Interval(low=round(-shrinkage, 2), high=round(growth, 2))
