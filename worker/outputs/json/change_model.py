"""Models of the change of one lesion in findings.json; each key ends with the unit of its number."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from worker.follow_up.change import Condition
from worker.follow_up.guidelines import DoublingTimeClass, Guideline
from worker.outputs.json.values import Count, Day, Ends, JsonModel, Size


class VolumeDifferenceJson(JsonModel):
    """Change of the volume."""

    prior_ml: Size
    later_ml: Size
    absolute_ml: float
    percent: float | None
    """Of the earlier value; null if that is 0."""
    chance_percent: Ends
    """Limits of chance of the difference (worker/follow_up/repeatability.py)."""
    is_beyond_chance: bool


class LengthDifferenceJson(JsonModel):
    """Change of a length, as of the mean of both axes."""

    prior_mm: Size
    later_mm: Size
    absolute_mm: float
    percent: float | None


class AxisDifferenceJson(LengthDifferenceJson):
    """Change of an axis."""

    chance_mm: Ends
    """Limits of chance of the difference (worker/follow_up/repeatability.py)."""
    is_beyond_chance: bool


class MassDifferenceJson(JsonModel):
    """Change of the mass."""

    prior_g: Size
    later_g: Size
    absolute_g: float
    percent: float | None


class GrowthJson(JsonModel):
    """Growth of the volume; a negative doubling time is a halving time (worker/follow_up/growth.py)."""

    rate_per_year: float
    """ln(V2 / V1) per year."""
    rate_per_year_95: Ends
    percent_per_year: float | None
    doubling_days: float | None
    """Null for no change."""
    doubling_days_fastest: float | None
    """At the upper end of the rate's interval."""
    doubling_days_slowest: float | None
    """At the lower end of the rate's interval."""
    text: str


class GuidelineJson(JsonModel):
    """What the rule of one guideline says of the change."""

    guideline: Annotated[str, Field(json_schema_extra={"enum": [each.title for each in Guideline]})]
    source: str
    scope: str
    """For which lesions it was made."""
    is_met: bool | None
    """Null if the rule does not apply to this change."""
    doubling_time: Annotated[str, Field(json_schema_extra={"enum": [each.span for each in DoublingTimeClass]})] | None
    text: str
    """The arithmetic."""


class ChangeJson(JsonModel):
    """Change of one lesion since the last scan with its sizes."""

    since_day: Day
    interval_days: Count
    is_beyond_chance: bool
    """Of volume or long axis."""
    volume: VolumeDifferenceJson
    long_axis: AxisDifferenceJson
    short_axis: AxisDifferenceJson
    mean_diameter: LengthDifferenceJson
    mass: MassDifferenceJson | None
    growth: GrowthJson | None
    """Null for two scans of one day."""
    conditions: tuple[Condition, ...]
    """What limits the comparison."""
    guidelines: tuple[GuidelineJson, ...]
