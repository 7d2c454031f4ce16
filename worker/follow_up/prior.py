"""Priors as the comparison uses them: a prior scan with its lesions, and what was collected of all."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from dicom_node.prior import PriorSearch
from models.volume import Mask
from worker.follow_up.comparison import Origin, ReportReference
from worker.frame import Frame
from worker.lesions.uncertainty import Sizes
from worker.recist.timepoints import State


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorLesion:
    """One lesion in a prior scan; includes lesions that were absent by then."""

    tracking_uid: str
    tracking_id: str
    state: State
    merged_into: str | None
    split_from: str | None
    outline: Mask | None
    """On a box of the prior scan's grid; None unless PRESENT or DOUBTFUL and outlined."""
    sizes: Sizes | None
    """None unless PRESENT or DOUBTFUL."""
    mass_g: float | None
    image: Frame | None = None
    """The CT image through its centre; None if the CT is not available."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """A prior scan of the patient."""

    date: date
    """Study date."""
    study_uid: str
    series_uid: str
    """Series Instance UID of the CT."""
    frame_of_reference_uid: str
    slice_mm: float
    lesions: tuple[PriorLesion, ...]
    lungs: Mask | None
    """None if neither the CT nor its lungs file is available."""
    kernel: str | None
    has_contrast: bool | None
    origin: Origin
    report: ReportReference | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectedPriors:
    """Result of the search for prior scans, and the scans that could be read."""

    search: PriorSearch
    reason: str | None = None
    priors: tuple[Prior, ...] = ()
