"""Acquisition parameters required for a comparison, from the header of one image."""

from __future__ import annotations

from datetime import date, datetime

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom_node.dicom_file import value_of
from worker.follow_up.acquisition import Acquisition


def acquisition_of(image: Dataset) -> Acquisition:
    """Return the acquisition parameters from the header of one image of a series."""
    agent = _text(value_of(image, "ContrastBolusAgent"))
    return Acquisition(
        date=study_date(image),
        kernel=_text(value_of(image, "ConvolutionKernel")),
        has_contrast=bool(agent) or None if "ContrastBolusAgent" in image else False,
    )


def study_date(header: Dataset) -> date | None:
    """Return the study date; None if it is missing or invalid."""
    try:
        return datetime.strptime(str(value_of(header, "StudyDate") or ""), "%Y%m%d").date()
    except ValueError:
        return None


def _text(value: object) -> str | None:
    text = "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "")
    return text.strip() or None
