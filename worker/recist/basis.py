"""Lines of the arithmetic behind a proposed response."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class DatedLine:
    """A line that names a date, at `{date}` in its text: the outputs write a number of days there."""

    text: str
    on: date


BasisLine = str | DatedLine
