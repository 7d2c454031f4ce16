"""Base and value types of the models of findings.json; numbers are rounded identically on every machine."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from worker.lesions.uncertainty import Interval

DECIMALS = 4
"""Decimal places of ml, mm, g and per cent: finer than the resolution of any scanner."""

Uid = Annotated[str, Field(pattern=r"^[0-9.]{1,64}$")]
LesionName = Annotated[str, Field(pattern=r"^lesion-[1-9][0-9]{0,5}$")]
"""Its number for life: no free text, which may hold anything."""
JobKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Day = Annotated[int, Field(ge=0, description="Days since the first scan of the timeline, which is day 0.")]
Point = tuple[float, float, float]
"""x, y, z in mm, LPS; of `spacing_mm`: slice, row, column."""
Pixel = tuple[float, float]
"""Column, row; 0, 0 is the centre of the first pixel."""
Ends = tuple[float, float]
"""Low and high end of a 95 % interval."""


class JsonModel(BaseModel):
    """A part of findings.json: every key is known, every value has its type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON values of the fields that were set."""
        return self.model_dump(mode="json", exclude_unset=True)


def rounded(value: float | None) -> float | None:
    """Return a number rounded to DECIMALS, never -0, or None for None."""
    return None if value is None else round_number(value)


def round_number(value: float) -> float:
    """Return a number rounded to DECIMALS, never -0."""
    return round(float(value), DECIMALS) + 0.0


def ends(interval: Interval) -> Ends:
    """Return both ends of an interval, rounded to DECIMALS."""
    return round_number(interval.low), round_number(interval.high)
