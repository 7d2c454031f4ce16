"""How the page says what is known, in few words. Draws nothing."""

from __future__ import annotations

from models.lungs.lungs import Lobe
from worker.lesions.location import LesionLocation
from worker.lesions.uncertainty import Interval

TIMES = "\N{MULTIPLICATION SIGN}"
DASH = "\N{EN DASH}"
"""What was not determined; and from - to."""


def lobe_name(lobe: Lobe) -> str:
    """Return a lobe's name in full, in small letters."""
    return lobe.name.replace("_", " ").lower()


def lobe_words(place: LesionLocation) -> str:
    """Return the lobe, with a question mark where it may be the neighbouring one."""
    return lobe_name(place.lobe) + ("" if place.is_lobe_sure else " ?")


def interval_words(interval: Interval, decimals: int) -> str:
    """Return both ends of an interval."""
    return f"{interval.low:.{decimals}f}{DASH}{interval.high:.{decimals}f}"


def in_brackets(interval: Interval | None, decimals: int) -> str:
    """Return an interval in brackets behind its value, or nothing."""
    return f" ({interval_words(interval, decimals)})" if interval else ""


def percent(share: float) -> str:
    """Return a share as per cent, with two digits that count."""
    value = 100 * share
    return f"{value:.0f} %" if value >= 10 or not value else f"{value:.1f} %" if value >= 1 else f"{value:.2f} %"
