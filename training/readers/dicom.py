"""Reader of DICOM folders: one folder for each patient, with CT series and the SEG or RTSTRUCT that outline them.

A case is one CT series. If both outline it, the SEG is used: it states voxels, not contours. In results that a reader
corrected, our own SEG is next to the corrected one; the newest that is not our own is used. Messages name the folder
and UIDs, and no other patient data.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_node.identifiers import CT_IMAGES
from training.readers.case import Case, DataRefused, FoundCases
from training.readers.outline import TumourNames
from training.readers.outlined import DicomObject, OutlinedSeries, read_header, read_outlined
from training.readers.rtstruct import RTSTRUCT_CLASS
from training.readers.seg import SEG_CLASSES
from worker.ct.files import dicom_files

OWN = "LungSpread"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlineChoice:
    """Which outlines are used. source: "dicom", or "corrected", which ignores our own."""

    source: str
    tumour: TumourNames


def dicom(folder: Path, choice: OutlineChoice) -> FoundCases:
    """Return a case for each outlined CT series below the folder; its subfolders are the patients."""
    cases: list[Case] = []
    problems: list[str] = []
    left_out = 0
    for patient, files in _patients(folder):
        try:
            found, without = _cases_of(patient, files, choice)
            cases.extend(found)
            left_out += without
        except DataRefused as refused:
            problems.extend(f"{patient}: {problem}" for problem in refused.problems)
    if not cases and not problems:
        problems.append("no DICOM file found")
    notes = (f"{left_out} CT series without an outline are left out",) if left_out else ()
    return FoundCases(cases=tuple(cases), problems=tuple(problems), notes=notes)


def _patients(folder: Path) -> Iterator[tuple[str, list[Path]]]:
    """Yield the folder itself if it directly contains DICOM files, else each subfolder that contains some."""
    files = dicom_files(folder)
    if any(path.parent == folder for path in files):
        yield folder.resolve().name, files
        return
    for patient, of_patient in groupby(files, key=lambda path: path.relative_to(folder).parts[0]):
        yield patient, list(of_patient)


def _cases_of(patient: str, files: Sequence[Path], choice: OutlineChoice) -> tuple[list[Case], int]:
    """Return the cases of one patient, and the number of its CT series without an outline."""
    objects = [read_header(path, number, len(files)) for number, path in enumerate(files, start=1)]
    owners = {str(item.header.get("PatientID", "")) for item in objects} - {""}
    if len(owners) > 1:
        raise DataRefused(f"objects of {len(owners)} patients in one folder, expected one")
    series: dict[str, list[DicomObject]] = defaultdict(list)
    for item in objects:
        if item.sop_class in CT_IMAGES:
            series[str(item.header.get("SeriesInstanceUID", ""))].append(item)
    outlines = _outlines(objects, series)
    if not outlines:
        raise DataRefused("no SEG or RTSTRUCT outlines one of its CT series")
    owner = tuple(("Patient ID", hashlib.sha256(name.encode()).hexdigest()) for name in owners)
    cases = []
    for uid, objects_of_series in sorted(outlines.items()):
        counting = _selected(uid, objects_of_series, choice)
        outlined = OutlinedSeries(patient=patient, series_uid=uid, images=tuple(series[uid]), outlines=tuple(counting))
        cases.append(_case(outlined, choice, owner))
    return cases, len(series) - len(outlines)


def _outlines(objects: Sequence[DicomObject], series: dict[str, list[DicomObject]]) -> dict[str, list[DicomObject]]:
    """Return the SEG and RTSTRUCT objects of each CT series."""
    outlines: dict[str, list[DicomObject]] = defaultdict(list)
    for item in objects:
        if item.sop_class not in {*SEG_CLASSES, RTSTRUCT_CLASS}:
            continue
        referred = set(_referred(item.header))
        for uid in referred & set(series):
            outlines[uid].append(item)
        if not referred & set(series):
            raise DataRefused(f"{item.uid} outlines a CT series that is missing")
    return outlines


def _referred(header: Dataset) -> Iterator[str]:
    """Yield the series UIDs that a SEG (PS3.3 C.12.2) or an RTSTRUCT (PS3.3 C.8.8.5) refers to."""
    for item in header.get("ReferencedSeriesSequence") or ():
        yield str(item.get("SeriesInstanceUID", ""))
    for frame in header.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            for item in study.get("RTReferencedSeriesSequence") or ():
                yield str(item.get("SeriesInstanceUID", ""))


def _selected(series_uid: str, objects_of_series: list[DicomObject], choice: OutlineChoice) -> list[DicomObject]:
    """Return the objects to use among those that outline a series."""
    segs = [item for item in objects_of_series if item.sop_class in SEG_CLASSES]
    if choice.source != "corrected":
        return segs or objects_of_series
    corrected = [item for item in objects_of_series if item.header.get("ManufacturerModelName") != OWN]
    if not corrected:
        raise DataRefused(f"series {series_uid} has only our own outline, no corrected one")
    return [max(corrected, key=_written_at)]


def _written_at(item: DicomObject) -> tuple[str, str]:
    header = item.header
    date = header.get("ContentDate") or header.get("StructureSetDate") or ""
    time = header.get("ContentTime") or header.get("StructureSetTime") or ""
    return f"{date} {time}", item.uid


def _case(outlined: OutlinedSeries, choice: OutlineChoice, keys: tuple[tuple[str, str], ...]) -> Case:
    name = f"{outlined.patient}/{outlined.series_uid}"
    return Case(
        source=choice.source,
        patient=outlined.patient,
        name=name,
        files=_named(outlined.patient, (*outlined.images, *outlined.outlines)),
        recipe=f"dicom 1 {' '.join(sorted(choice.tumour.names))}",
        read=partial(read_outlined, outlined, choice.source, choice.tumour),
        keys=(*keys, ("CT series", outlined.series_uid)),
    )


def _named(patient: str, objects: Sequence[DicomObject]) -> dict[str, Path]:
    """Return the files by SOP instance UID; duplicates get a number."""
    files: dict[str, Path] = {}
    for number, item in enumerate(objects):
        name = f"{patient}/{item.uid}"
        files[name if name not in files else f"{name} ({number})"] = item.path
    return files
