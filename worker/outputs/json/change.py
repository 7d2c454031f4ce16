"""Writes the change of one lesion: absolute, relative, against repeatability, per year, by guidelines."""

from __future__ import annotations

from worker.follow_up.change import Change, Difference
from worker.follow_up.growth import Growth
from worker.follow_up.guidelines import GuidelineStatement
from worker.lesions.uncertainty import Interval
from worker.outputs.json.change_model import (
    AxisDifferenceJson,
    ChangeJson,
    GrowthJson,
    GuidelineJson,
    LengthDifferenceJson,
    MassDifferenceJson,
    VolumeDifferenceJson,
)
from worker.outputs.json.values import ends, round_number, rounded


def change_json(change: Change, day: int) -> ChangeJson:
    """Return a change as JSON. day: day of the later scan."""
    limits = change.repeatability
    return ChangeJson(
        since_day=day - change.interval_days,
        interval_days=change.interval_days,
        is_beyond_chance=change.is_significant,
        volume=_volume(change.volume_ml, limits.volume_percent),
        long_axis=_axis(change.long_axis_mm, limits.long_axis_mm),
        short_axis=_axis(change.short_axis_mm, limits.short_axis_mm),
        mean_diameter=_length(change.mean_diameter_mm),
        mass=_mass(change.mass_g) if change.mass_g else None,
        growth=_growth(change.growth) if change.growth else None,
        conditions=change.conditions,
        guidelines=tuple(_guideline(statement) for statement in change.statements),
    )


def _volume(difference: Difference, chance_percent: Interval) -> VolumeDifferenceJson:
    return VolumeDifferenceJson(
        prior_ml=round_number(difference.prior),
        later_ml=round_number(difference.later),
        absolute_ml=round_number(difference.absolute),
        percent=rounded(difference.percent),
        chance_percent=ends(chance_percent),
        is_beyond_chance=bool(difference.is_beyond_chance),
    )


def _axis(difference: Difference, chance_mm: Interval) -> AxisDifferenceJson:
    return AxisDifferenceJson(
        **dict(_length(difference)), chance_mm=ends(chance_mm), is_beyond_chance=bool(difference.is_beyond_chance)
    )


def _length(difference: Difference) -> LengthDifferenceJson:
    return LengthDifferenceJson(
        prior_mm=round_number(difference.prior),
        later_mm=round_number(difference.later),
        absolute_mm=round_number(difference.absolute),
        percent=rounded(difference.percent),
    )


def _mass(difference: Difference) -> MassDifferenceJson:
    return MassDifferenceJson(
        prior_g=round_number(difference.prior),
        later_g=round_number(difference.later),
        absolute_g=round_number(difference.absolute),
        percent=rounded(difference.percent),
    )


def _growth(growth: Growth) -> GrowthJson:
    doubling = growth.doubling_time
    return GrowthJson(
        rate_per_year=growth.rate_per_year,
        rate_per_year_95=ends(growth.rate_interval),
        percent_per_year=growth.percent_per_year,
        doubling_days=doubling.days,
        doubling_days_fastest=doubling.fastest_days,
        doubling_days_slowest=doubling.slowest_days,
        text=doubling.text,
    )


def _guideline(statement: GuidelineStatement) -> GuidelineJson:
    guideline, doubling_time_class = statement.guideline, statement.doubling_time_class
    return GuidelineJson(
        guideline=guideline.title,
        source=guideline.source,
        scope=guideline.scope,
        is_met=statement.is_met,
        doubling_time=doubling_time_class.span if doubling_time_class else None,
        text=statement.text,
    )
