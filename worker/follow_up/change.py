"""One lesion on two scans: how much it changed, how fast, and whether that is more than chance. Finds no pairs.

* Beyond chance: only what exceeds the repeatability of both scans (`repeatability.py`). Of mass and mean diameter no
  limit is known, and none is claimed.
* Growth and doubling time (`growth.py`) take both scans' volume intervals and what same-day scans differ by beyond
  them, so that "no growth" lies within the doubling time's interval exactly where the change may be chance.
* What guidelines call growth stands beside it, as statements (`guidelines.py`).
* Conditions that limit the comparison are named, and change no number: the limits of chance know of the slices'
  thickness, but not of another kernel or of contrast agent.

A lesion that appeared or vanished has no change: that is an event of the course.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from worker.follow_up.growth import Growth, VolumeEstimate, growth_of
from worker.follow_up.guidelines import Statement, statements
from worker.follow_up.repeatability import VOLUME_FLOOR, Repeatability, repeatability_of
from worker.lesions.uncertainty import Interval, Sizes, uncertainty_of

SAME_THICKNESS = 1.05
"""Slice distances are computed from positions; a twentieth is rounding, 1 and 1.25 mm are two protocols."""


class Condition(StrEnum):
    """What limits the comparison of two scans."""

    SLICE_THICKNESS = "slice thickness differs"
    KERNEL = "reconstruction kernel differs"
    KERNEL_UNKNOWN = "reconstruction kernel not known for both scans"
    CONTRAST = "contrast agent on one scan only"
    CONTRAST_UNKNOWN = "contrast agent not known for both scans"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One lesion on one scan."""

    date: date
    """Of the study."""
    sizes: Sizes
    mass_g: float | None = None
    """None where the scan's pixels are gone."""
    kernel: str | None = None
    """ConvolutionKernel; None where the image does not say."""
    has_contrast: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One quantity on two scans, in its own unit."""

    earlier: float
    later: float
    absolute: float
    percent: float | None
    """Of the earlier; None where that is 0."""
    is_beyond_chance: bool | None = None
    """None where no limit of chance is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """How one lesion changed between two scans."""

    interval_days: int
    volume_ml: Difference
    long_axis_mm: Difference
    short_axis_mm: Difference
    mean_diameter_mm: Difference
    """Mean of long and short axis, each to a tenth of a millimetre, as Lung-RADS and Fleischner have it."""
    mass_g: Difference | None
    growth: Growth | None
    """None for two scans of one day."""
    repeatability: Repeatability
    conditions: tuple[Condition, ...]
    statements: tuple[Statement, ...]

    @property
    def is_significant(self) -> bool:
        """Volume or long axis changed by more than chance."""
        return bool(self.volume_ml.is_beyond_chance or self.long_axis_mm.is_beyond_chance)


def change_of(earlier: Observation, later: Observation) -> Change:
    """Return the change of a lesion that both scans show; raises ValueError where `later` is the earlier one."""
    interval_days = (later.date - earlier.date).days
    if interval_days < 0:
        raise ValueError(f"the later scan is {-interval_days} days earlier")
    before, after = earlier.sizes, later.sizes
    limits = repeatability_of(before, after)
    volume = _volume(before, after, limits)
    diameters_mm = _mean_diameter_mm(before), _mean_diameter_mm(after)
    growth = _growth(before, after, interval_days)
    return Change(
        interval_days=interval_days,
        volume_ml=volume,
        long_axis_mm=_length(before.long_axis_mm, after.long_axis_mm, limits.long_axis_mm),
        short_axis_mm=_length(before.short_axis_mm, after.short_axis_mm, limits.short_axis_mm),
        mean_diameter_mm=_difference(*diameters_mm),
        mass_g=_mass(earlier.mass_g, later.mass_g),
        growth=growth,
        repeatability=limits,
        conditions=conditions(earlier, later),
        statements=statements(diameters_mm, volume.percent or 0.0, growth, interval_days),
    )


def conditions(earlier: Observation, later: Observation) -> tuple[Condition, ...]:
    """Return what limits the comparison of two scans; empty where they were made alike."""
    found = (_thickness(earlier, later), _kernel(earlier, later), _contrast(earlier, later))
    return tuple(condition for condition in found if condition)


def _thickness(earlier: Observation, later: Observation) -> Condition | None:
    thin, thick = sorted((earlier.sizes.spacing_mm[0], later.sizes.spacing_mm[0]))
    return Condition.SLICE_THICKNESS if thick > SAME_THICKNESS * thin else None


def _kernel(earlier: Observation, later: Observation) -> Condition | None:
    if earlier.kernel is None or later.kernel is None:
        return Condition.KERNEL_UNKNOWN
    return Condition.KERNEL if earlier.kernel.strip() != later.kernel.strip() else None


def _contrast(earlier: Observation, later: Observation) -> Condition | None:
    if earlier.has_contrast is None or later.has_contrast is None:
        return Condition.CONTRAST_UNKNOWN
    return Condition.CONTRAST if earlier.has_contrast != later.has_contrast else None


def _volume(before: Sizes, after: Sizes, limits: Repeatability) -> Difference:
    percent = 100 * (after.volume_ml / before.volume_ml - 1)
    return _difference(before.volume_ml, after.volume_ml, _is_outside(percent, limits.volume_percent))


def _length(before_mm: float, after_mm: float, limits_mm: Interval) -> Difference:
    return _difference(before_mm, after_mm, _is_outside(after_mm - before_mm, limits_mm))


def _is_outside(value: float, limits: Interval) -> bool:
    return not limits.low <= value <= limits.high


def _mass(before_g: float | None, after_g: float | None) -> Difference | None:
    return None if before_g is None or after_g is None else _difference(before_g, after_g)


def _difference(before: float, after: float, is_beyond_chance: bool | None = None) -> Difference:
    return Difference(
        earlier=before,
        later=after,
        absolute=round(after - before, 4),
        percent=round(100 * (after / before - 1), 4) if before else None,
        is_beyond_chance=is_beyond_chance,
    )


def _mean_diameter_mm(sizes: Sizes) -> float:
    """Mean of both axes, all to a tenth, a half up."""
    long_tenths, short_tenths = (math.floor(10 * axis + 0.5) for axis in (sizes.long_axis_mm, sizes.short_axis_mm))
    return (long_tenths + short_tenths + 1) // 2 / 10


def _growth(before: Sizes, after: Sizes, interval_days: int) -> Growth | None:
    if not interval_days:
        return None
    return growth_of(_estimate(before), _estimate(after), interval_days, chance=math.log1p(VOLUME_FLOOR))


def _estimate(sizes: Sizes) -> VolumeEstimate:
    return VolumeEstimate(volume_ml=sizes.volume_ml, interval=uncertainty_of(sizes).volume_ml)
