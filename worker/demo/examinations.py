"""The CT series that the demo sends: two phantom scans, or the user's own, ordered by study date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_node.dicom_file import read_file, value_of
from dicom_node.errors import UnreadableInstance
from worker.ct.files import dicom_files
from worker.ct.rejections import UnreadableFile
from worker.demo.patient import VISITS
from worker.phantom.chest import PhantomLesion
from worker.phantom.visit import write_visit


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """One CT series to send."""

    name: str
    """Also the name of its folder of pictures."""
    series_uid: str
    files: tuple[Path, ...]
    truth: tuple[PhantomLesion, ...] | None
    """None for the user's own series."""


def phantom_examinations(folder: Path) -> list[Examination]:
    """Generate the phantom's scans, one folder each, and return them by date."""
    return [_examination(visit.name, write_visit(folder / visit.name, visit), visit.spec.lesions) for visit in VISITS]


def own_examinations(folders: Sequence[Path]) -> list[Examination]:
    """Return the CT series in these folders ordered by study date, named scan-1, scan-2 and so on.

    Raises UnreadableFile.
    """
    files_by_series: dict[tuple[str, str], list[Path]] = {}
    for folder in folders:
        files = dicom_files(folder)
        for number, file in enumerate(files, start=1):
            try:
                header = read_file(file, header_only=True)
            except UnreadableInstance as error:
                raise UnreadableFile("unknown", f"file {number} of {len(files)}", str(error)) from None
            if value_of(header, "Modality") == "CT":
                key = (str(value_of(header, "StudyDate") or ""), str(value_of(header, "SeriesInstanceUID") or ""))
                files_by_series.setdefault(key, []).append(file)
    keys = sorted(files_by_series)
    return [_examination(f"scan-{number}", files_by_series[key], None) for number, key in enumerate(keys, start=1)]


def _examination(name: str, files: Sequence[Path], truth: tuple[PhantomLesion, ...] | None) -> Examination:
    series_uid = str(value_of(read_file(files[0], header_only=True), "SeriesInstanceUID"))
    return Examination(name=name, series_uid=series_uid, files=tuple(files), truth=truth)
