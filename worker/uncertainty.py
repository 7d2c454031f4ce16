"""How far a measurement may be off: 95 % intervals, and what two scans repeat by chance. Measures nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A 95 % interval, both ends in the unit of the measurement."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainty:
    """The 95 % intervals of one lesion's sizes."""

    volume_ml: Interval
    long_axis_mm: Interval
    short_axis_mm: Interval
