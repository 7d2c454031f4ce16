"""Change of one lesion as JSON values: absolute, relative, against repeatability, per year, by guidelines.

Each key ends with the unit of its number.
"""

from __future__ import annotations

from worker.follow_up.change import Change, Difference
from worker.follow_up.growth import Growth
from worker.follow_up.guidelines import GuidelineStatement
from worker.lesions.uncertainty import Interval
from worker.outputs.json.values import Json, ends, rounded


def change_json(change: Change, day: int) -> Json:
    """Return a change as JSON values. day: day of the later scan."""
    limits = change.repeatability
    return {
        "since_day": day - change.interval_days,
        "interval_days": change.interval_days,
        "is_beyond_chance": change.is_significant,
        "volume": _difference(change.volume_ml, "ml", ("percent", limits.volume_percent)),
        "long_axis": _difference(change.long_axis_mm, "mm", ("mm", limits.long_axis_mm)),
        "short_axis": _difference(change.short_axis_mm, "mm", ("mm", limits.short_axis_mm)),
        "mean_diameter": _difference(change.mean_diameter_mm, "mm"),
        "mass": _difference(change.mass_g, "g") if change.mass_g else None,
        "growth": _growth(change.growth) if change.growth else None,
        "conditions": [condition.value for condition in change.conditions],
        "guidelines": [_guideline(statement) for statement in change.statements],
    }


def _difference(difference: Difference, unit: str, chance: tuple[str, Interval] | None = None) -> Json:
    """chance: unit, per cent for volumes and mm for axes, and repeatability limits of later minus earlier."""
    return {
        f"earlier_{unit}": rounded(difference.prior),
        f"later_{unit}": rounded(difference.later),
        f"absolute_{unit}": rounded(difference.absolute),
        "percent": rounded(difference.percent),
        **({f"chance_{chance[0]}": ends(chance[1]), "is_beyond_chance": difference.is_beyond_chance} if chance else {}),
    }


def _growth(growth: Growth) -> Json:
    """A negative doubling time is a halving time; null means no change (worker/follow_up/growth.py)."""
    doubling = growth.doubling_time
    return {
        "rate_per_year": growth.rate_per_year,
        "rate_per_year_95": ends(growth.rate_interval),
        "percent_per_year": growth.percent_per_year,
        "doubling_days": doubling.days,
        "doubling_days_fastest": doubling.fastest_days,
        "doubling_days_slowest": doubling.slowest_days,
        "text": doubling.text,
    }


def _guideline(statement: GuidelineStatement) -> Json:
    guideline = statement.guideline
    return {
        "guideline": guideline.title,
        "source": guideline.source,
        "scope": guideline.scope,
        "is_met": statement.is_met,
        "doubling_time": statement.doubling_time_class.span if statement.doubling_time_class else None,
        "text": statement.text,
    }
