"""Findings of one series: its lesions, lungs and their extent."""

from __future__ import annotations

from dataclasses import dataclass

from models.lungs.lungs import Lungs
from models.segmenter import ModelCard
from models.volume import Volume
from worker.frame import Frame
from worker.lesions.lesion import Lesion
from worker.lesions.location import LesionLocation
from worker.lesions.measure import Measurement
from worker.lesions.uncertainty import Sizes, Uncertainty
from worker.staging.extent import Extent


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One lesion with its measurements, their uncertainty and its location."""

    lesion: Lesion
    measurement: Measurement
    sizes: Sizes
    uncertainty: Uncertainty
    location: LesionLocation | None
    """None if the lungs were not found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All findings of one series; `findings` may be empty."""

    job_key: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    frames: tuple[Frame, ...]
    """The source images, in the volume's slice order: one for each slice, unless the stack was resampled."""
    volume: Volume
    card: ModelCard
    findings: tuple[Finding, ...]
    """Largest first."""
    lungs: Lungs | None
    """None if they were not found."""
    extent: Extent
