"""Conversion of dates to days since the first scan: a date may identify a patient, a number of days does not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date

from worker.follow_up.comparison import Comparison
from worker.recist.basis import BasisLine, DatedLine

# ISO (2026-01-02) and DICOM (20260102) dates, but not parts of longer numbers or UIDs.
_DATE = re.compile(r"(?<![\d.])((?:19|20)\d\d)-?(0[1-9]|1[0-2])-?(0[1-9]|[12]\d|3[01])(?!\d|\.\d)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Day numbers relative to the first scan, which is day 0. start: None without a scan."""

    start: date | None

    def of(self, day: date) -> int:
        """Return the day number of a date. Raises ValueError if there is no first scan."""
        if self.start is None:
            raise ValueError("no first scan to count days from")
        return (day - self.start).days

    def line(self, line: BasisLine) -> str:
        """Return the text of a line with its date, and any date in the names of lesions, as a day number."""
        if isinstance(line, DatedLine):
            return self.replace_dates(line.text).replace("{date}", f"day {self.of(line.on)}")
        return self.replace_dates(line)

    def replace_dates(self, text: str) -> str:
        """Return the text with every date replaced by its day number ("day 90")."""
        return _DATE.sub(self._replacement, text)

    def _replacement(self, found: re.Match[str]) -> str:
        try:
            day = date(*map(int, found.groups()))
        except ValueError:
            return "a day"  # not a valid date; removed nevertheless
        return "a day" if self.start is None else f"day {self.of(day)}"


def days_of(comparison: Comparison) -> Days:
    """Return the day numbering of a comparison."""
    return Days(start=comparison.scans[0].date if comparison.scans else None)
