"""Growth of a nodule as defined by four guidelines, each as a statement with its source.

* Lung-RADS v2022 (American College of Radiology; Christensen et al., CHEST 2024;165:738): the mean diameter grows by
  more than 1.5 mm within 12 months. Both axes and their mean are rounded to a tenth of a millimetre.
* Fleischner Society 2017 (MacMahon et al., Radiology 2017;284:228): the diameter grows by 2 mm or more. The mean of
  both axes is compared in tenths of a millimetre: in the guideline's whole millimetres, 1.1 mm could count as 2.
* British Thoracic Society 2015 (Callister et al., Thorax 2015;70 Suppl 2:ii1): the volume grows by 25 % or more; then
  the doubling time: under 400 days, 400 to 600, over 600.
* NELSON (van Klaveren et al., N Engl J Med 2009;361:2221): the volume grows by 25 % or more; then a doubling time under
  400 days is high, 400 to 600 days indeterminate, over 600 days low.

All are intended for screening-detected or incidental nodules, not for tumours under treatment; `Guideline.scope` names
them. A rule may be met by a change that is not beyond chance; see change.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from worker.follow_up.growth import Growth

LUNG_RADS_MM = 1.5
LUNG_RADS_DAYS = 366
"""12 months, leap years included."""
FLEISCHNER_MM = 2.0
GROWN_PERCENT = 25.0
FAST_DAYS, SLOW_DAYS = 400, 600


class Guideline(Enum):
    """A guideline with its title, source and the lesions it applies to."""

    LUNG_RADS = ("Lung-RADS v2022", "Christensen et al., CHEST 2024;165:738", "nodules found in screening")
    FLEISCHNER = ("Fleischner 2017", "MacMahon et al., Radiology 2017;284:228", "nodules found by chance")
    BTS = ("BTS 2015", "Callister et al., Thorax 2015;70 Suppl 2:ii1", "solid nodules")
    NELSON = ("NELSON", "van Klaveren et al., N Engl J Med 2009;361:2221", "solid nodules found in screening")

    def __init__(self, title: str, source: str, scope: str) -> None:
        self.title = title
        self.source = source
        self.scope = scope


class DoublingTimeClass(Enum):
    """Class of doubling times in BTS and NELSON."""

    FAST = ("under 400 days", "high")
    MIDDLE = ("400 to 600 days", "indeterminate")
    SLOW = ("over 600 days", "low")

    def __init__(self, span: str, nelson: str) -> None:
        self.span = span
        self.nelson = nelson


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidelineStatement:
    """Result of one guideline's rule for a change."""

    guideline: Guideline
    is_met: bool | None
    """None if the rule does not apply to this change."""
    doubling_time_class: DoublingTimeClass | None = None
    """Only if growth by BTS or NELSON is met."""
    text: str
    """The arithmetic."""


def statements(
    diameters_mm: tuple[float, float], volume_percent: float, growth: Growth | None, interval_days: int
) -> tuple[GuidelineStatement, ...]:
    """Return the statement of each guideline; `diameters_mm`: earlier and later mean diameter, rounded to a tenth."""
    increase_mm = round(diameters_mm[1] - diameters_mm[0], 1)
    doubling_time_class = _doubling_time_class(growth) if volume_percent >= GROWN_PERCENT else None
    return (
        _lung_rads(increase_mm, interval_days),
        _fleischner(increase_mm),
        _by_volume(
            Guideline.BTS,
            volume_percent,
            doubling_time_class,
            doubling_time_class.span if doubling_time_class else None,
        ),
        _by_volume(
            Guideline.NELSON,
            volume_percent,
            doubling_time_class,
            f"{doubling_time_class.span}, {doubling_time_class.nelson}" if doubling_time_class else None,
        ),
    )


def _lung_rads(increase_mm: float, interval_days: int) -> GuidelineStatement:
    text = f"mean diameter {increase_mm:+.1f} mm in {interval_days} days, growth is over {LUNG_RADS_MM} mm in 12 months"
    if interval_days > LUNG_RADS_DAYS:
        return GuidelineStatement(
            guideline=Guideline.LUNG_RADS, is_met=None, text=f"{text}: the scans are further apart"
        )
    is_met = increase_mm > LUNG_RADS_MM
    return GuidelineStatement(guideline=Guideline.LUNG_RADS, is_met=is_met, text=f"{text}: {_grown(is_met)}")


def _fleischner(increase_mm: float) -> GuidelineStatement:
    is_met = increase_mm >= FLEISCHNER_MM
    text = f"mean diameter {increase_mm:+.1f} mm, growth is {FLEISCHNER_MM:.0f} mm or more: {_grown(is_met)}"
    return GuidelineStatement(guideline=Guideline.FLEISCHNER, is_met=is_met, text=text)


def _by_volume(
    guideline: Guideline, percent: float, doubling_time_class: DoublingTimeClass | None, doubling: str | None
) -> GuidelineStatement:
    is_met = percent >= GROWN_PERCENT
    text = f"volume {percent:+.1f} %, growth is {GROWN_PERCENT:.0f} % or more: {_grown(is_met)}"
    if doubling:
        text = f"{text}; doubling time {doubling}"
    return GuidelineStatement(guideline=guideline, is_met=is_met, doubling_time_class=doubling_time_class, text=text)


def _doubling_time_class(growth: Growth | None) -> DoublingTimeClass | None:
    days = growth.doubling_time.days if growth else None
    if days is None:
        return None
    if days < FAST_DAYS:
        return DoublingTimeClass.FAST
    return DoublingTimeClass.MIDDLE if days <= SLOW_DAYS else DoublingTimeClass.SLOW


def _grown(is_met: bool) -> str:
    return "grown" if is_met else "not grown"
