"""JSON values: numbers rounded identically on every machine."""

from __future__ import annotations

from worker.lesions.uncertainty import Interval

Json = dict[str, object]

DECIMALS = 4
"""Decimal places of ml, mm, g and per cent: finer than the resolution of any scanner."""


def rounded(value: float | None) -> float | None:
    """Return a number rounded to DECIMALS, never -0, or None for None."""
    return None if value is None else round(float(value), DECIMALS) + 0.0


def ends(interval: Interval) -> list[float]:
    """Return both ends of an interval, rounded to DECIMALS."""
    return [round(float(end), DECIMALS) + 0.0 for end in (interval.low, interval.high)]
