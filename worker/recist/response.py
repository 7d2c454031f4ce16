"""Response categories of RECIST, and changes in per cent."""

from __future__ import annotations

import math
from enum import StrEnum


class Response(StrEnum):
    """A proposed response in the terms of RECIST 1.1 (Eisenhauer et al., Eur J Cancer 2009;45:228, tables 1 and 2)."""

    CR = "CR"
    PR = "PR"
    SD = "SD"
    NON_CR_NON_PD = "non-CR/non-PD"
    """Only if the baseline has no target."""
    PD = "PD"
    NE = "NE"


def percent_change(value: float, reference: float) -> float | None:
    """Return the change in per cent; None if the reference is 0."""
    return round(100 * (value / reference - 1), 2) if reference else None


def per_cent(value: float, reference: float) -> str:
    """Return the change as text in per cent with one decimal, truncated: -29.97 is shown as -29.9."""
    if not reference:
        return "no per cent of 0"
    tenths = math.trunc(round(1000 * (value / reference - 1), 6))
    return f"{tenths / 10:+.1f} %"
