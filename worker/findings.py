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
    """Largest first; `by_number` has the order of the documents."""
    lungs: Lungs | None
    """None if they were not found."""
    extent: Extent

    @property
    def by_number(self) -> tuple[Finding, ...]:
        """The findings by the number of their lesion: the order of the SEG's segments, and of the SR."""
        return tuple(sorted(self.findings, key=lambda finding: finding.lesion.number))

    def segment_number(self, tracking_uid: str) -> int:
        """Return the Segment Number of a lesion. PS3.3 C.8.20.4: without gaps, which numbers for life have."""
        return [finding.lesion.tracking_uid for finding in self.by_number].index(tracking_uid) + 1
