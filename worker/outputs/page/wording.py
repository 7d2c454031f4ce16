"""Texts of lobes, intervals and percentages on the page."""

from __future__ import annotations

from models.lungs.lungs import Lobe
from worker.lesions.location import LesionLocation
from worker.lesions.uncertainty import Interval

TIMES = "\N{MULTIPLICATION SIGN}"
DASH = "\N{EN DASH}"
"""Stands for a value that was not determined, and separates the ends of an interval."""


def lobe_name(lobe: Lobe) -> str:
    """Return the full name of a lobe in lower case."""
    return lobe.name.replace("_", " ").lower()


def lobe_text(location: LesionLocation) -> str:
    """Return the name of the lobe, with a question mark if a fissure is near and the lobe is uncertain."""
    return lobe_name(location.lobe) + ("" if location.is_lobe_sure else " ?")


def interval_text(interval: Interval, decimals: int) -> str:
    """Return both ends of an interval."""
    return f"{interval.low:.{decimals}f}{DASH}{interval.high:.{decimals}f}"


def bracketed_interval(interval: Interval, decimals: int) -> str:
    """Return an interval in brackets, with a leading space."""
    return f" ({interval_text(interval, decimals)})"


def percent(share: float) -> str:
    """Return a share, 0 to 1, in per cent with two significant digits."""
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 or not value else f"{value:.1f} %" if value >= 1 else f"{value:.2f} %"
