from __future__ import annotations

from dataclasses import replace

import pytest

from worker.follow_up.repeatability import (
    AXIS_FLOOR_MM,
    is_axis_within_repeatability,
    is_within_repeatability,
    repeatability_of,
)
from worker.lesions.uncertainty import Sizes


def ball(diameter_mm: float, slice_mm: float = 1.0) -> Sizes:
    return Sizes(
        volume_ml=3.14159265 / 6 * diameter_mm**3 / 1000,
        long_axis_mm=diameter_mm,
        short_axis_mm=diameter_mm,
        slices=max(1, round(diameter_mm / slice_mm)),
        spacing_mm=(slice_mm, 0.7, 0.7),
    )


def grown(sizes: Sizes, factor: float) -> Sizes:
    return replace(sizes, volume_ml=sizes.volume_ml * factor)


@pytest.mark.parametrize("diameter_mm", [6.0, 10.0, 20.0, 40.0])
@pytest.mark.parametrize("slice_mm", [0.7, 2.5, 5.0])
def test_a_quarter_more_or_a_fifth_less_is_within_chance_on_any_scan(diameter_mm: float, slice_mm: float) -> None:
    sizes = ball(diameter_mm, slice_mm)

    # BTS 2015 and NELSON: below 25 % nothing has grown.
    assert is_within_repeatability(sizes, grown(sizes, 1.25))
    assert is_within_repeatability(sizes, grown(sizes, 0.80))
    assert is_axis_within_repeatability(sizes, replace(sizes, long_axis_mm=diameter_mm + 1.9))


@pytest.mark.parametrize("factor", [1.35, 0.7])
def test_a_third_more_or_less_of_a_20_mm_sphere_on_thin_slices_is_beyond_chance(factor: float) -> None:
    sizes = ball(20.0)

    assert not is_within_repeatability(sizes, grown(sizes, factor))
    assert not is_within_repeatability(grown(sizes, factor), sizes)


def test_three_millimetres_more_are_beyond_chance_on_thin_slices_and_2_mm_is_the_floor() -> None:
    sizes = ball(15.0)
    limits = repeatability_of(sizes, sizes).long_axis_mm

    assert not is_axis_within_repeatability(sizes, replace(sizes, long_axis_mm=18.0))
    assert AXIS_FLOOR_MM < limits.high < 2.5
    assert -2.5 < limits.low < -AXIS_FLOOR_MM


def test_a_long_axis_of_60_mm_repeats_within_seven_percent() -> None:
    limits = repeatability_of(ball(60.0), ball(60.0)).long_axis_mm

    assert limits.high == pytest.approx(0.073 * 60, abs=0.3)  # Zhao 2009


def test_limits_on_thin_slices_are_those_of_the_literature() -> None:
    limits = repeatability_of(ball(20.0), ball(20.0)).volume_percent

    assert limits.high == pytest.approx(27, abs=1)
    assert limits.low == pytest.approx(100 * (1 / 1.27 - 1), abs=1)


def test_thick_slices_and_small_lesions_widen_the_limits() -> None:
    thin, thick = ball(10.0, 1.0), ball(10.0, 5.0)

    both_thin, mixed, both_thick = (
        repeatability_of(*pair).volume_percent for pair in ((thin, thin), (thin, thick), (thick, thick))
    )
    assert both_thin.high < mixed.high < both_thick.high
    assert both_thin.low > both_thick.low
    assert repeatability_of(ball(6.0, 2.5), ball(6.0, 2.5)).volume_percent.high > both_thin.high


def test_limits_of_growth_are_wider_from_thick_to_thin_slices_than_the_reverse() -> None:
    thin, thick = ball(8.0, 1.0), ball(8.0, 5.0)

    # Thick slices lose the edges of a small lesion, so thin slices afterwards look like growth.
    assert repeatability_of(thick, thin).volume_percent.high > repeatability_of(thin, thick).volume_percent.high
