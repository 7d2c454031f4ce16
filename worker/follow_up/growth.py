"""Growth of a volume between two scans: specific growth rate and doubling time with 95 % intervals.

The model is exponential: Schwartz, Cancer 1961;14:1272. Of two volumes V1 and V2, t days apart, the specific growth
rate is ln(V2 / V1) / t (Mehrara et al., Cancer Res 2007;67:3970), and the doubling time ln 2 divided by it.

Error propagation: the logarithm of each volume is assumed to be normally distributed on each side of the measured
value, with the width of its 95 % interval on that side. The lower limit of ln(V2 / V1) combines in quadrature the lower
error of V2 and the upper error of V1, the upper limit the opposite errors (MOVER: Zou and Donner, Stat Med
2008;27:1693). For intervals that are symmetric in the logarithm, this is the propagation of normal errors.

The interval of a doubling time is not contiguous: if the interval of the rate contains 0, it runs from the fastest
doubling through "no change" to the fastest halving. Both ends are therefore given with their signs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from worker.lesions.uncertainty import Interval

DAYS_PER_YEAR = 365.25
MIN_ML = 1e-6
"""A cube of 0.1 mm: lower limit of a volume's interval, which may reach down to 0."""
MAX_LOG_PER_YEAR = math.log(1e6)
"""Above a factor of a million per year, no per cent is given: scans a few days apart cannot be extrapolated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeEstimate:
    """A measured volume and its 95 % interval; the volume is above 0."""

    volume_ml: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class DoublingTime:
    """Doubling time of a volume in days. Negative: halving time. None: no change.

    `fastest_days` and `slowest_days` correspond to the upper and the lower end of the growth rate's 95 % interval, with
    the same sign convention. 100, 80, 130: doubles in 80 to 130 days. 100, 60, -300: doubles in 60 days at the fastest,
    may be unchanged, or may halve in 300 days. -50, -80, -40: halves in 40 to 80 days.
    """

    days: float | None
    fastest_days: float | None
    slowest_days: float | None

    @property
    def text(self) -> str:
        """The doubling time and its interval as text."""
        if self.days is None:
            return (
                f"unchanged (95 %: at the fastest doubles in {_days(self.fastest_days)} days, "
                f"or halves in {_days(self.slowest_days)})"
            )
        verb, change = ("doubles", "growth") if self.days > 0 else ("halves", "shrinkage")
        ends = (self.fastest_days, self.slowest_days)
        shortest, longest = ends if self.days > 0 else ends[::-1]
        span = f"from {_days(shortest)} days on, no {change} is within it"
        if longest is not None and longest * self.days > 0:
            span = f"{_days(shortest)} to {_days(longest)} days"
        return f"{verb} in {_days(self.days)} days (95 %: {span})"

    def allows(self, days: float | None) -> bool:
        """Return whether a doubling time (same sign convention) lies within the interval."""
        slowest, rate, fastest = (
            0.0 if each is None else 1 / each for each in (self.slowest_days, days, self.fastest_days)
        )
        return slowest <= rate <= fastest


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Growth of a volume between two scans."""

    rate_per_year: float
    """Specific growth rate ln(V2 / V1) per year: 0 is no change, 0.693 doubling, -0.693 halving in a year."""
    rate_interval: Interval
    """95 % interval of the rate."""
    percent_per_year: float | None
    """The rate compounded over a year; None above a factor of a million."""
    doubling_time: DoublingTime


def growth_of(prior: VolumeEstimate, later: VolumeEstimate, interval_days: float, chance: float = 0.0) -> Growth:
    """Return the growth between two volumes. Raises ValueError if `interval_days` is not above 0.

    chance: additional variation of an unchanged lesion between two scans, as the 95 % limit of |ln(V2 / V1)|.
    """
    if interval_days <= 0:
        raise ValueError(f"growth requires an interval above 0 days, got {interval_days}")
    low, change, high = (each * DAYS_PER_YEAR / interval_days for each in _log_ratio(prior, later, chance))
    return Growth(
        rate_per_year=round(change, 4),
        rate_interval=Interval(low=round(low, 4), high=round(high, 4)),
        percent_per_year=round(100 * math.expm1(change), 1) if change <= MAX_LOG_PER_YEAR else None,
        doubling_time=DoublingTime(
            days=_doubling_days(change), fastest_days=_doubling_days(high), slowest_days=_doubling_days(low)
        ),
    )


def _log_ratio(prior: VolumeEstimate, later: VolumeEstimate, chance: float) -> tuple[float, float, float]:
    """Return the lower limit, the value and the upper limit of ln(V2 / V1)."""
    (below_1, above_1), (below_2, above_2) = _log_errors(prior), _log_errors(later)
    change = math.log(later.volume_ml / prior.volume_ml)
    return change - math.hypot(below_2, above_1, chance), change, change + math.hypot(above_2, below_1, chance)


def _log_errors(estimate: VolumeEstimate) -> tuple[float, float]:
    below = math.log(estimate.volume_ml / max(estimate.interval.low, MIN_ML))
    return below, math.log(estimate.interval.high / estimate.volume_ml)


def _doubling_days(rate_per_year: float) -> float | None:
    return round(DAYS_PER_YEAR * math.log(2) / rate_per_year, 2) if rate_per_year else None


def _days(days: float | None) -> str:
    return "no" if days is None else f"{abs(days):.0f}"
