"""Repeatability limits of volume and axes between two scans of an unchanged lesion.

The limits combine, in quadrature, the uncertainty of each scan (`worker/lesions/uncertainty.py`: slice thickness, size,
noise) and the additional variation of repeat scans on the same day (breathing, repeated segmentation):

* Volume: +27 % (and its inverse, -21 %). Gietema et al., Radiology 2007;245:888: limits of agreement -21 to +24 %;
  Marchiano et al., Radiology 2009;251:919: +-27 %; BTS 2015 and NELSON call 25 % growth.
* Axes: 2 mm or 7.3 %, whichever is more. MacMahon et al., Radiology 2017;284:228 (Fleischner): 2 mm is growth; Oxnard
  et al., J Clin Oncol 2011;29:3114: a third of diameters repeated within minutes differ by over 2 mm; Zhao et al.,
  Radiology 2009;252:263: -7.3 to +6.2 % by computer.

The limits are wider for smaller lesions, as the QIBA profile for small lung nodules requires.

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
    """95 % limits of the change from an earlier to a later scan of an unchanged lesion."""

    volume_percent: Interval
    long_axis_mm: Interval
    short_axis_mm: Interval


def repeatability_of(prior: Sizes, later: Sizes) -> Repeatability:
    """Return the 95 % limits for two scans of one lesion."""
    return Repeatability(
        volume_percent=_volume_limits(prior, later),
        long_axis_mm=_axis_limits(
            (prior.long_axis_mm, uncertainty_of(prior).long_axis_mm),
            (later.long_axis_mm, uncertainty_of(later).long_axis_mm),
        ),
        short_axis_mm=_axis_limits(
            (prior.short_axis_mm, uncertainty_of(prior).short_axis_mm),
            (later.short_axis_mm, uncertainty_of(later).short_axis_mm),
        ),
    )


def is_within_repeatability(prior: Sizes, later: Sizes) -> bool:
    """Return whether the change in volume may be chance."""
    limits = repeatability_of(prior, later).volume_percent
    return limits.low <= 100 * (later.volume_ml / prior.volume_ml - 1) <= limits.high


def is_axis_within_repeatability(prior: Sizes, later: Sizes) -> bool:
    """Return whether the change in the long axis may be chance."""
    limits = repeatability_of(prior, later).long_axis_mm
    return limits.low <= later.long_axis_mm - prior.long_axis_mm <= limits.high


def _volume_limits(prior: Sizes, later: Sizes) -> Interval:
    """Return the limits in per cent; apparent growth is an underestimate before and an overestimate after."""
    floor = math.log1p(VOLUME_FLOOR)
    before, after = uncertainty_of(prior).volume_ml, uncertainty_of(later).volume_ml
    growth = math.hypot(floor, math.log(before.high / prior.volume_ml), math.log(later.volume_ml / after.low))
    shrinkage = math.hypot(floor, math.log(prior.volume_ml / before.low), math.log(after.high / later.volume_ml))
    return Interval(low=round(100 * math.expm1(-shrinkage), 1), high=round(100 * math.expm1(growth), 1))


def _axis_limits(prior: tuple[float, Interval], later: tuple[float, Interval]) -> Interval:
    (first_mm, before), (second_mm, after) = prior, later
    floor = max(AXIS_FLOOR_MM, AXIS_FLOOR * (first_mm + second_mm) / 2)
    growth = math.hypot(floor, before.high - first_mm, second_mm - after.low)
    shrinkage = math.hypot(floor, first_mm - before.low, after.high - second_mm)
    return Interval(low=round(-shrinkage, 2), high=round(growth, 2))
