"""What the demo sends: the phantom's two scans, or CT series of the user's, in the order of their dates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from worker.demo.patient import VISITS
from worker.folder import dicom_files
from worker.phantom.chest import PhantomLesion
from worker.phantom.visit import write_visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """One CT series to be sent."""

    name: str
    """Of its folder with pictures."""
    series_uid: str
    files: tuple[Path, ...]
    truth: tuple[PhantomLesion, ...] | None
    """None where nobody knows it."""


def phantom_examinations(folder: Path) -> list[Examination]:
    """Generate the phantom's scans into a folder each."""
    return [_examination(visit.name, write_visit(folder / visit.name, visit), visit.spec.lesions) for visit in VISITS]


def own_examinations(folders: Sequence[Path]) -> list[Examination]:
    """Return the CT series in these folders by the dates of their studies, as scan-1, scan-2 and so on."""
    found: dict[tuple[str, str], list[Path]] = {}
    for folder in folders:
        for file in dicom_files(folder):
            header = dcmread(file, stop_before_pixels=True)
            if header.get("Modality") == "CT":
                key = (str(header.get("StudyDate", "")), str(header.get("SeriesInstanceUID", "")))
                found.setdefault(key, []).append(file)
    return [_examination(f"scan-{number}", found[key], None) for number, key in enumerate(sorted(found), start=1)]


def _examination(name: str, files: Sequence[Path], truth: tuple[PhantomLesion, ...] | None) -> Examination:
    series_uid = str(dcmread(files[0], stop_before_pixels=True).SeriesInstanceUID)
    return Examination(name=name, series_uid=series_uid, files=tuple(files), truth=truth)
