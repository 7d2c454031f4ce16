"""Quantities of a lesion over time: code, unit and rounded value. `quantities.py` has those of one scan."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from pydicom.sr.coding import Code

from worker.codes import follow_up as over_time
from worker.codes import lesions as codes
from worker.follow_up.change import Change, Difference
from worker.follow_up.comparison import LesionTimeline
from worker.follow_up.growth import DoublingTime, Growth
from worker.lesions.uncertainty import Interval, Sizes
from worker.outputs.quantities import Quantity, quantity, rounded_ends


def timeline_quantities(timeline: LesionTimeline) -> list[Quantity]:
    """Return the confidence of the match, and the change, of a lesion that the current scan shows."""
    rows: list[Quantity] = []
    if timeline.confidence is not None:
        rows.append(quantity("confidence", over_time.CONFIDENCE, timeline.confidence, codes.NO_UNITS))
    if timeline.change is not None:
        rows.extend(change_quantities(timeline.change))
    return rows


def size_quantities(sizes: Sizes) -> list[Quantity]:
    """Return the slice count and noise, on which the uncertainty of the sizes depends."""
    return [
        quantity("slices", over_time.SLICES_SEEN, sizes.slices, over_time.SLICES),
        quantity("noise", over_time.RELATIVE_NOISE, sizes.noise, codes.NO_UNITS),
    ]


def change_quantities(change: Change) -> Iterable[Quantity]:
    """Yield the absolute and relative changes of a lesion, with repeatability limits, and its growth."""
    limits, ml, mm = change.repeatability, codes.MILLILITRE, codes.MILLIMETRE
    yield quantity("interval_days", over_time.INTERVAL, change.interval_days, over_time.DAY)
    yield _absolute("volume_ml", over_time.VOLUME_CHANGE, change.volume_ml, ml)
    yield from _percent("volume_percent", over_time.VOLUME_PERCENT, change.volume_ml, limits.volume_percent)
    yield _absolute("long_axis_mm", over_time.LONG_CHANGE, change.long_axis_mm, mm, limits.long_axis_mm)
    yield from _percent("long_axis_percent", over_time.LONG_PERCENT, change.long_axis_mm)
    yield _absolute("short_axis_mm", over_time.SHORT_CHANGE, change.short_axis_mm, mm, limits.short_axis_mm)
    yield from _percent("short_axis_percent", over_time.SHORT_PERCENT, change.short_axis_mm)
    yield _absolute("mean_diameter_mm", over_time.DIAMETER_CHANGE, change.mean_diameter_mm, mm)
    yield from _percent("mean_diameter_percent", over_time.DIAMETER_PERCENT, change.mean_diameter_mm)
    if change.mass_g is not None:
        yield _absolute("mass_g", over_time.MASS_CHANGE, change.mass_g, codes.GRAM)
        yield from _percent("mass_percent", over_time.MASS_PERCENT, change.mass_g)
    if change.growth is not None:
        yield from _growth(change.growth)


def _absolute(key: str, name: Code, difference: Difference, unit: Code, limits: Interval | None = None) -> Quantity:
    prior = quantity(key, over_time.PRIOR_VALUE, difference.prior, unit)
    return replace(quantity(key, name, difference.absolute, unit), properties=(prior, *_limits(key, limits, unit)))


def _percent(key: str, name: Code, difference: Difference, limits: Interval | None = None) -> Iterable[Quantity]:
    if difference.percent is not None:
        number = quantity(key, name, difference.percent, codes.PERCENT)
        yield replace(number, properties=tuple(_limits(key, limits, codes.PERCENT)))


def _limits(key: str, limits: Interval | None, unit: Code) -> Iterable[Quantity]:
    if limits is not None:
        yield quantity(key, over_time.CHANCE_LOW, limits.low, unit)
        yield quantity(key, over_time.CHANCE_HIGH, limits.high, unit)


def _growth(growth: Growth) -> Iterable[Quantity]:
    rate = quantity("rate_per_year", over_time.GROWTH_RATE, growth.rate_per_year, over_time.PER_YEAR)
    yield replace(rate, interval=rounded_ends(growth.rate_interval, over_time.PER_YEAR))
    if growth.percent_per_year is not None:
        yield quantity(
            "percent_per_year", over_time.GROWTH_PER_YEAR, growth.percent_per_year, over_time.PERCENT_PER_YEAR
        )
    if growth.doubling_time.days is not None:
        days = quantity("doubling_days", over_time.DOUBLING_TIME, growth.doubling_time.days, over_time.DAY)
        yield replace(days, properties=tuple(_doubling_ends(growth.doubling_time)))


def _doubling_ends(doubling: DoublingTime) -> Iterable[Quantity]:
    """An end with zero growth has no doubling time and is left out; the text of the doubling time says so."""
    ends = ((over_time.DOUBLING_FASTEST, doubling.fastest_days), (over_time.DOUBLING_SLOWEST, doubling.slowest_days))
    return (quantity("doubling_days", name, days, over_time.DAY) for name, days in ends if days is not None)
