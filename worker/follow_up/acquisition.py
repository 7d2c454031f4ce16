"""How a scan was acquired: date, kernel and slice thickness, which decide whether two scans can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """Acquisition parameters of a scan; None if absent from the header."""

    date: date | None
    """Study date."""
    kernel: str | None
    """ConvolutionKernel; multiple values joined by a backslash, as in the header."""
    has_contrast: bool | None
    """Whether a contrast agent was given. PS3.3 C.7.6.4: unknown (None) if Contrast/Bolus Agent is empty."""
