"""Findings: the one value that every encoder receives. Knows no encoding."""

from __future__ import annotations

from dataclasses import dataclass

from models.lungs.lungs import Lungs
from models.segmenter import ModelCard
from models.volume import Volume
from worker.follow_up.comparison import Comparison
from worker.lesions.lesion import Lesion
from worker.lesions.location import LesionLocation
from worker.lesions.measure import Measurement
from worker.lesions.uncertainty import Uncertainty
from worker.staging.extent import Extent


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One lesion, where it is and what it measures."""

    lesion: Lesion
    measurement: Measurement
    uncertainty: Uncertainty | None = None
    place: LesionLocation | None = None
    """None where the lungs were not found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that was found in one series, ready to be written down. No finding is a finding, too."""

    job_key: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    sop_instance_uids: tuple[str, ...]
    """One per slice of the volume, in the volume's slice order."""
    volume: Volume
    card: ModelCard
    findings: tuple[Finding, ...]
    """The largest first."""
    lungs: Lungs | None = None
    spread: Extent | None = None
    comparison: Comparison | None = None
    """With the patient's earlier scans; what it says of a lesion here is found by its tracking UID."""
