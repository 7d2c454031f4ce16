from __future__ import annotations

import math

import numpy as np
import pytest

from worker.follow_up.growth import DoublingTime, Growth, VolumeEstimate, growth_of
from worker.lesions.uncertainty import Interval

SCHWARTZ_1961 = "exponential growth: Schwartz, Cancer 1961;14:1272"
MEHRARA_2007 = "specific growth rate: Mehrara et al., Cancer Res 2007;67:3970"
ZOU_2008 = "limits of a difference: Zou and Donner, Stat Med 2008;27:1693"
DRAWS = 1000


def volume(volume_ml: float, below: float = 1.1, above: float = 1.1) -> VolumeEstimate:
    """A volume whose 95 % interval extends down and up by these factors."""
    return VolumeEstimate(volume_ml=volume_ml, interval=Interval(low=volume_ml / below, high=volume_ml * above))


def doubling_of(first_ml: float, second_ml: float, days: float) -> float | None:
    return growth_of(volume(first_ml), volume(second_ml), days).doubling_time.days


@pytest.mark.parametrize(
    ("first_ml", "second_ml", "days", "doubling_days"),
    [
        (1.0, 2.0, 100, 100.0),
        (0.3, 1.2, 100, 50.0),  # twice
        (4.0, 32.0, 90, 30.0),  # three times
        (1.0, math.sqrt(2), 100, 200.0),  # half way
        (1.0, 1.25, 90, 279.57),  # 90 ln 2 / ln 1.25 = 62.383 / 0.223144: BTS's least growth
        (2.0, 1.0, 60, -60.0),
        (8.0, 1.0, 60, -20.0),
    ],
)
def test_doubling_times_of_known_doublings(
    first_ml: float, second_ml: float, days: float, doubling_days: float
) -> None:
    assert doubling_of(first_ml, second_ml, days) == pytest.approx(doubling_days, abs=0.01), SCHWARTZ_1961


def test_equal_volumes_never_double() -> None:
    growth = growth_of(volume(1.0, below=1.1, above=1.2), volume(1.0, below=1.1, above=1.2), 100)

    assert growth.rate_per_year == 0
    assert growth.percent_per_year == 0
    assert growth.doubling_time.days is None
    # Quadrature: ln(V2 / V1) within +-sqrt(ln(1.2)^2 + ln(1.1)^2) = +-0.205714: 100 ln 2 / 0.205714 = 336.9 days.
    assert growth.doubling_time.fastest_days == pytest.approx(336.9, abs=0.1), ZOU_2008
    assert growth.doubling_time.slowest_days == pytest.approx(-336.9, abs=0.1)
    assert growth.doubling_time.text == ("unchanged (95 %: at the fastest doubles in 337 days, or halves in 337)")


def test_a_volume_that_doubles_in_a_year_grows_by_100_percent_at_a_rate_of_ln_2() -> None:
    growth = growth_of(volume(1.0), volume(2.0), 365.25)

    assert growth.rate_per_year == pytest.approx(math.log(2), abs=1e-4), MEHRARA_2007
    assert growth.percent_per_year == pytest.approx(100)
    assert growth.doubling_time.days == 365.25


def test_the_interval_joins_both_volumes_in_quadrature() -> None:
    growth = growth_of(volume(1.0, below=1.3, above=1.1), volume(2.0, below=1.4, above=1.2), 100)

    # Down: hypot(ln 1.4, ln 1.1) = 0.349724; up: hypot(ln 1.2, ln 1.3) = 0.319462; per year x 3.6525.
    assert growth.rate_interval.low == pytest.approx((math.log(2) - 0.349724) * 3.6525, abs=1e-3), ZOU_2008
    assert growth.rate_interval.high == pytest.approx((math.log(2) + 0.319462) * 3.6525, abs=1e-3)
    assert growth.doubling_time.fastest_days == pytest.approx(68.45, abs=0.02)  # 69.3147 / 1.012609
    assert growth.doubling_time.slowest_days == pytest.approx(201.83, abs=0.02)  # 69.3147 / 0.343423


def test_additional_variation_of_scans_widens_the_interval() -> None:
    alone = growth_of(volume(1.0), volume(2.0), 100)
    combined = growth_of(volume(1.0), volume(2.0), 100, chance=math.log(1.27))

    assert alone.doubling_time.days == combined.doubling_time.days
    # hypot(ln 1.1, ln 1.1, ln 1.27) = 0.274403 to either side of ln 2.
    assert combined.doubling_time.fastest_days == pytest.approx(71.64, abs=0.02)
    assert combined.doubling_time.slowest_days == pytest.approx(165.53, abs=0.02)


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (DoublingTime(days=100, fastest_days=80, slowest_days=130), "doubles in 100 days (95 %: 80 to 130 days)"),
        (
            DoublingTime(days=100, fastest_days=60, slowest_days=-300),
            "doubles in 100 days (95 %: from 60 days on, no growth is within it)",
        ),
        (
            DoublingTime(days=100, fastest_days=60, slowest_days=None),
            "doubles in 100 days (95 %: from 60 days on, no growth is within it)",
        ),
        (DoublingTime(days=-50, fastest_days=-80, slowest_days=-40), "halves in 50 days (95 %: 40 to 80 days)"),
        (
            DoublingTime(days=-50, fastest_days=300, slowest_days=-30),
            "halves in 50 days (95 %: from 30 days on, no shrinkage is within it)",
        ),
    ],
)
def test_doubling_times_as_text(time: DoublingTime, text: str) -> None:
    assert time.text == text


def test_an_interval_that_includes_no_change_contains_long_doublings_and_long_halvings() -> None:
    time = DoublingTime(days=100, fastest_days=60, slowest_days=-300)

    assert all(time.allows(days) for days in (60, 100, 10_000, None, -10_000, -300))
    assert not any(time.allows(days) for days in (59, 1, -299, -1))


def test_an_interval_of_growth_contains_no_halving() -> None:
    time = DoublingTime(days=100, fastest_days=80, slowest_days=130)

    assert all(time.allows(days) for days in (80, 100, 130))
    assert not any(time.allows(days) for days in (79, 131, None, -100))


def drawn(rng: np.random.Generator, truth_ml: float, below: float, above: float) -> VolumeEstimate:
    """A measured volume with an error that is normal in the logarithm, wider on one side, and its 95 % interval.

    An interval that extends further down corresponds to errors that extend further up.
    """
    error = float(rng.normal())
    measured = truth_ml * math.exp(error / 1.96 * math.log(below if error > 0 else above))
    return volume(measured, below=below, above=above)


def coverage(below: tuple[float, float], above: tuple[float, float], chance: float = 0.0) -> float:
    rng = np.random.default_rng(1961)
    contained = []
    for _ in range(DRAWS):
        doubling_days, days = float(rng.choice([-1, 1]) * rng.uniform(30, 1500)), float(rng.uniform(30, 400))
        first_ml = float(rng.uniform(0.1, 30))
        second_ml = first_ml * 2 ** (days / doubling_days) * math.exp(chance / 1.96 * float(rng.normal()))
        growth = growth_of(
            drawn(rng, first_ml, below[0], above[0]), drawn(rng, second_ml, below[1], above[1]), days, chance
        )
        contained.append(growth.doubling_time.allows(doubling_days))
    return sum(contained) / DRAWS


def test_the_doubling_time_interval_contains_the_truth_in_93_to_97_percent_of_draws() -> None:
    assert 0.93 <= coverage((1.1, 1.5), (1.1, 1.5)) <= 0.97
    assert 0.93 <= coverage((2.0, 1.05), (2.0, 1.05)) <= 0.97


def test_the_interval_contains_the_truth_if_errors_are_wider_on_one_side() -> None:
    assert 0.93 <= coverage((1.1, 1.15), (1.2, 1.3)) <= 0.97


def test_the_interval_contains_the_truth_with_additional_variation_of_scans() -> None:
    assert 0.93 <= coverage((1.1, 1.2), (1.1, 1.2), chance=math.log(1.27)) <= 0.97


def test_two_scans_a_day_apart_are_not_extrapolated_to_a_year() -> None:
    growth = growth_of(volume(0.001, below=20, above=20), volume(100.0), 1)

    assert growth.percent_per_year is None
    assert growth.doubling_time.days == pytest.approx(0.06, abs=0.001)  # ln 2 / ln 1e5
    assert growth.doubling_time.allows(0.06)


def test_an_interval_down_to_0_is_cut_off() -> None:
    growth: Growth = growth_of(
        volume(0.001), VolumeEstimate(volume_ml=0.0005, interval=Interval(low=0.0, high=0.001)), 100
    )

    assert math.isfinite(growth.rate_interval.low)


@pytest.mark.parametrize("days", [0, -5])
def test_growth_without_an_interval_raises_an_error(days: float) -> None:
    with pytest.raises(ValueError, match="requires an interval above 0 days"):
        growth_of(volume(1.0), volume(2.0), days)
