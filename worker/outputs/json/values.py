"""Numbers as JSON holds them: rounded the same on every machine. Knows no finding."""

from __future__ import annotations

from worker.lesions.uncertainty import Interval

Json = dict[str, object]

DECIMALS = 4
"""Finer than any scanner measures, of ml, mm, g and per cent alike."""


def rounded(value: float | None) -> float | None:
    """Return a number without the digits that mean nothing; never -0."""
    return None if value is None else round(float(value), DECIMALS) + 0.0


def ends(interval: Interval) -> list[float]:
    """Return both ends of an interval."""
    return [round(float(end), DECIMALS) + 0.0 for end in (interval.low, interval.high)]
