"""Change of one lesion between two scans: differences, growth, significance and guideline statements.

* A difference is beyond chance if it exceeds the repeatability of both scans (`repeatability.py`). For mass and mean
  diameter no limit is known.
* Growth and doubling time (`growth.py`) include the volume intervals of both scans and the additional variation of
  same-day scans, so that "no growth" lies within the doubling time's interval exactly if the change may be chance.
* Growth as defined by guidelines is given as separate statements (`guidelines.py`).
* Conditions that limit the comparison are listed and do not change any number: the limits of chance include slice
  thickness, but not a different kernel or contrast agent.

A lesion that appeared or vanished has no change, but an event (`matching.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from worker.follow_up.growth import Growth, VolumeEstimate, growth_of
from worker.follow_up.guidelines import GuidelineStatement, statements
from worker.follow_up.repeatability import VOLUME_FLOOR, Repeatability, repeatability_of
from worker.lesions.uncertainty import Interval, Sizes, uncertainty_of

MAX_SPACING_RATIO = 1.05
"""Largest ratio of equal slice spacings: 5 % is rounding of positions, 1 and 1.25 mm are two protocols."""


class Condition(StrEnum):
    """A condition that limits the comparison of two scans."""

    SLICE_THICKNESS = "slice thickness differs"
    KERNEL = "reconstruction kernel differs"
    KERNEL_UNKNOWN = "reconstruction kernel not known for both scans"
    CONTRAST = "contrast agent on one scan only"
    CONTRAST_UNKNOWN = "contrast agent not known for both scans"


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """Sizes of one lesion on one scan, and the acquisition of that scan."""

    date: date
    """Study date."""
    sizes: Sizes
    mass_g: float | None = None
    """None if the pixels of the scan are not available."""
    kernel: str | None = None
    """ConvolutionKernel; None if absent."""
    has_contrast: bool | None = None
    """Whether a contrast agent was given; None if unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Difference of one quantity between two scans, in the unit of the quantity."""

    prior: float
    later: float
    absolute: float
    percent: float | None
    """Relative to the earlier value; None if that is 0."""
    is_beyond_chance: bool | None = None
    """None if no limit of chance is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Change of one lesion between two scans."""

    interval_days: int
    volume_ml: Difference
    long_axis_mm: Difference
    short_axis_mm: Difference
    mean_diameter_mm: Difference
    """Mean of long and short axis, each rounded to a tenth of a millimetre, as in Lung-RADS and Fleischner."""
    mass_g: Difference | None
    """None if a scan has no mass."""
    growth: Growth | None
    """None for two scans of the same day."""
    repeatability: Repeatability
    conditions: tuple[Condition, ...]
    statements: tuple[GuidelineStatement, ...]

    @property
    def is_significant(self) -> bool:
        """Whether volume or long axis changed beyond chance."""
        return bool(self.volume_ml.is_beyond_chance or self.long_axis_mm.is_beyond_chance)


def change_of(prior: Observation, later: Observation) -> Change:
    """Return the change of a lesion seen on both scans. Raises ValueError if `later` is dated before `earlier`."""
    interval_days = (later.date - prior.date).days
    if interval_days < 0:
        raise ValueError(f"the later scan is {-interval_days} days earlier than the other")
    before, after = prior.sizes, later.sizes
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
        mass_g=_mass(prior.mass_g, later.mass_g),
        growth=growth,
        repeatability=limits,
        conditions=conditions(prior, later),
        statements=statements(diameters_mm, volume.percent or 0.0, growth, interval_days),
    )


def conditions(prior: Observation, later: Observation) -> tuple[Condition, ...]:
    """Return the conditions that limit the comparison of two scans; empty for equal acquisitions."""
    found = (_thickness(prior, later), _kernel(prior, later), _contrast(prior, later))
    return tuple(condition for condition in found if condition)


def _thickness(prior: Observation, later: Observation) -> Condition | None:
    thin, thick = sorted((prior.sizes.spacing_mm[0], later.sizes.spacing_mm[0]))
    return Condition.SLICE_THICKNESS if thick > MAX_SPACING_RATIO * thin else None


def _kernel(prior: Observation, later: Observation) -> Condition | None:
    if prior.kernel is None or later.kernel is None:
        return Condition.KERNEL_UNKNOWN
    return Condition.KERNEL if prior.kernel.strip() != later.kernel.strip() else None


def _contrast(prior: Observation, later: Observation) -> Condition | None:
    if prior.has_contrast is None or later.has_contrast is None:
        return Condition.CONTRAST_UNKNOWN
    return Condition.CONTRAST if prior.has_contrast != later.has_contrast else None


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
        prior=before,
        later=after,
        absolute=round(after - before, 4),
        percent=round(100 * (after / before - 1), 4) if before else None,
        is_beyond_chance=is_beyond_chance,
    )


def _mean_diameter_mm(sizes: Sizes) -> float:
    """Return the mean of both axes; the axes and the mean are rounded to a tenth, half up."""
    long_tenths, short_tenths = (math.floor(10 * axis + 0.5) for axis in (sizes.long_axis_mm, sizes.short_axis_mm))
    return (long_tenths + short_tenths + 1) // 2 / 10


def _growth(before: Sizes, after: Sizes, interval_days: int) -> Growth | None:
    if not interval_days:
        return None
    return growth_of(_estimate(before), _estimate(after), interval_days, chance=math.log1p(VOLUME_FLOOR))


def _estimate(sizes: Sizes) -> VolumeEstimate:
    return VolumeEstimate(volume_ml=sizes.volume_ml, interval=uncertainty_of(sizes).volume_ml)
