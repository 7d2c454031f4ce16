"""The days of a course, counted from its first scan: a date identifies a patient, a number of days does not.

Knows no lesion and writes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from worker.follow_up.comparison import Comparison

# As Python (2026-01-02) and DICOM (20260102) write them; longer numbers and UIDs are no dates.
_DATE = re.compile(r"(?<![\d.])((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d|\.\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Counts from the first scan, which is day 0. start: None where no scan has a date."""

    start: date | None

    def of(self, day: date) -> int:
        """Return the number of a day. Raises ValueError where there is no first scan to count from."""
        if self.start is None:
            raise ValueError("there is no first scan to count days from")
        return (day - self.start).days

    def words(self, text: str) -> str:
        """Return a text with every date in it as a day."""
        return _DATE.sub(self._word, text)

    def _word(self, found: re.Match[str]) -> str:
        try:
            day = date(*map(int, found.groups()))
        except ValueError:
            return "a day"  # no such date, but nobody needs to see it either
        return "a day" if self.start is None else f"day {self.of(day)}"


def days_of(comparison: Comparison) -> Days:
    """Return how the days of a comparison are counted."""
    return Days(start=comparison.scans[0].date if comparison.scans else None)
