"""Findings: the one value that every encoder receives. Knows no encoding."""

from __future__ import annotations

from dataclasses import dataclass

from models.segmenter import ModelCard
from models.volume import Volume
from worker.lesions import Lesion
from worker.measurements import Measurement


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One lesion, where it is and what it measures."""

    lesion: Lesion
    measurement: Measurement


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
