"""The categories of response, and the per cent that they are judged by. Judges nothing."""

from __future__ import annotations

import math
from enum import StrEnum


class Response(StrEnum):
    """A proposed response, as RECIST 1.1 calls it (Eisenhauer et al., Eur J Cancer 2009;45:228, tables 1 and 2)."""

    CR = "CR"
    PR = "PR"
    SD = "SD"
    NON_CR_NON_PD = "non-CR/non-PD"
    """Only where the baseline has no target."""
    PD = "PD"
    NE = "NE"


def percent_change(value: float, reference: float) -> float | None:
    """Return the change in per cent; None where the reference is 0."""
    return round(100 * (value / reference - 1), 2) if reference else None


def per_cent(value: float, reference: float) -> str:
    """Write the change in per cent to a tenth, cut and not rounded: -29.97 is not yet -30."""
    if not reference:
        return "no per cent of 0"
    tenths = math.trunc(round(1000 * (value / reference - 1), 6))
    return f"{tenths / 10:+.1f} %"
