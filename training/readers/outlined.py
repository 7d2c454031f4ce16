"""Reads a CT series and the SEG or RTSTRUCT objects that outline it, as one stack."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from dicom_node.dicom_file import DAMAGE, read_file
from dicom_node.errors import SeriesRejected, UnreadableInstance
from training.data.volume import Stack, upright_stack
from training.readers.case import DataRefused, attempt
from training.readers.hounsfield import hounsfield
from training.readers.outline import ContourCanvas, TumourNames
from training.readers.rtstruct import RTSTRUCT_CLASS, mark_regions
from training.readers.seg import mark_segments
from worker.ct.reader import load

READ = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "PatientID", "ManufacturerModelName", "ContentDate",
        "ContentTime", "StructureSetDate", "StructureSetTime", "ReferencedSeriesSequence",
        "ReferencedFrameOfReferenceSequence")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomObject:
    """A DICOM file: its SOP instance UID, its path, and the needed attributes of its header."""

    uid: str
    path: Path
    header: Dataset

    @property
    def sop_class(self) -> str:
        """Its SOP class UID."""
        return str(self.header.get("SOPClassUID", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlinedSeries:
    """A CT series, the objects that outline it, and the name of the patient's folder."""

    patient: str
    series_uid: str
    images: tuple[DicomObject, ...]
    outlines: tuple[DicomObject, ...]


def read_header(path: Path, number: int, files: int) -> DicomObject:
    """Read a file's header. Raises DataRefused with the file's number: its name may be a patient's."""
    with _damage_refused(f"file {number} of {files} cannot be read as DICOM"):
        header = read_file(path, header_only=True, keywords=READ)
        return DicomObject(uid=str(header["SOPInstanceUID"].value), path=path, header=header)


def read_outlined(outlined: OutlinedSeries, source: str, tumour: TumourNames) -> Stack:
    """Return the stack, upright. Raises DataRefused with all problems."""
    name = f"{outlined.patient}/{outlined.series_uid}"
    try:
        volume = load([item.path for item in outlined.images]).volume
    except SeriesRejected as rejected:
        raise DataRefused(f"{outlined.patient}: {rejected}") from rejected
    if volume.places is not None:
        raise DataRefused(f"{name}: its slices are not evenly spaced, so that their outlines leave gaps")
    problems: list[str] = []
    canvas = ContourCanvas(mask=np.zeros(volume.hu.shape, bool), affine=volume.affine)
    for item in outlined.outlines:
        attempt(f"{outlined.patient}/{item.uid}", _marking(item, canvas, tumour), problems)
    hu = attempt(name, lambda: hounsfield(volume.hu), problems)
    if not problems and not canvas.mask.any():
        problems.append(f"{name}: its outlines mark no voxel")
    if hu is None or problems:
        raise DataRefused(*problems)
    return upright_stack(hu, canvas.mask, volume.affine, source=source, patient=outlined.patient, name=name)


def _marking(item: DicomObject, canvas: ContourCanvas, tumour: TumourNames) -> Callable[[], None]:
    def mark() -> None:
        with _damage_refused("is not a valid SEG or RTSTRUCT"):
            mark_document = mark_regions if item.sop_class == RTSTRUCT_CLASS else mark_segments
            mark_document(read_file(item.path), canvas, tumour)

    return mark


@contextmanager
def _damage_refused(fact: str) -> Iterator[None]:
    """Raise DataRefused if pydicom cannot read a file; hide its warnings, which quote values of the file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except (UnreadableInstance, *DAMAGE) as error:
            if isinstance(error, DataRefused):
                raise
            raise DataRefused(fact) from error
