"""When and how a scan was made, as far as a comparison must know it: from the header of one image. Knows no pixels."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquisition:
    """What the header says; None where it is silent."""

    date: date | None
    """Of the study."""
    kernel: str | None
    """ConvolutionKernel; several values joined by a backslash, as they stand in the header."""
    has_contrast: bool | None
    """Whether a contrast agent was given. PS3.3 C.7.6.4: an empty Contrast/Bolus Agent is an unknown one."""


def acquisition_of(image: Dataset) -> Acquisition:
    """Read the header of one image of a series."""
    return Acquisition(
        date=study_date(image),
        kernel=_text(image.get("ConvolutionKernel")),
        has_contrast=bool(_text(image.ContrastBolusAgent)) or None if "ContrastBolusAgent" in image else False,
    )


def study_date(header: Dataset) -> date | None:
    """Return the study's date; None where it is missing or is none."""
    try:
        return datetime.strptime(str(header.get("StudyDate") or ""), "%Y%m%d").date()
    except ValueError:
        return None


def _text(value: object) -> str | None:
    text = "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "")
    return text.strip() or None
