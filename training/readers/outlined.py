"""Reads a CT series and the documents that outline it as one stack. Chooses nothing: which ones, it is told."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from dicom_node.errors import SeriesRejected
from training.data.volume import Stack, upright_stack
from training.readers.case import DataRefused, attempt
from training.readers.hounsfield import hounsfield
from training.readers.outline import Canvas, Tumour
from training.readers.rtstruct import RTSTRUCT_CLASS, mark_regions
from training.readers.seg import mark_segments
from worker.ct.pixels import DAMAGE
from worker.ct.reader import load

READ = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "PatientID", "ManufacturerModelName", "ContentDate",
        "ContentTime", "StructureSetDate", "StructureSetTime", "ReferencedSeriesSequence",
        "ReferencedFrameOfReferenceSequence")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class DicomObject:
    """A DICOM file: its SOP instance UID, where it is, and what of its header is needed."""

    uid: str
    path: Path
    header: Dataset

    @property
    def sop_class(self) -> str:
        """Its SOP class UID."""
        return str(self.header.get("SOPClassUID", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlined:
    """A CT series of a patient, who is named by a folder, and the documents whose outlines count."""

    patient: str
    series_uid: str
    images: tuple[DicomObject, ...]
    outlines: tuple[DicomObject, ...]


def read_header(path: Path, number: int, files: int) -> DicomObject:
    """Read a file's header. Raises DataRefused, which names the file by its number: its own name may be a patient's."""
    with _damage_refused(f"file {number} of {files} cannot be read as DICOM"):
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(READ))
        return DicomObject(uid=str(header["SOPInstanceUID"].value), path=path, header=header)


def read_outlined(outlined: Outlined, source: str, tumour: Tumour) -> Stack:
    """Return the stack, upright. Raises DataRefused with everything that is wrong."""
    name = f"{outlined.patient}/{outlined.series_uid}"
    try:
        volume = load([item.path for item in outlined.images]).volume
    except SeriesRejected as rejected:
        raise DataRefused(f"{outlined.patient}: {rejected}") from rejected
    problems: list[str] = []
    canvas = Canvas(mask=np.zeros(volume.hu.shape, bool), affine=volume.affine)
    for item in outlined.outlines:
        attempt(f"{outlined.patient}/{item.uid}", _marking(item, canvas, tumour), problems)
    hu = attempt(name, lambda: hounsfield(volume.hu), problems)
    if not problems and not canvas.mask.any():
        problems.append(f"{name}: its outlines mark no voxel")
    if hu is None or problems:
        raise DataRefused(*problems)
    return upright_stack(hu, canvas.mask, volume.affine, source=source, patient=outlined.patient, name=name)


def _marking(item: DicomObject, canvas: Canvas, tumour: Tumour) -> Callable[[], None]:
    def mark() -> None:
        with _damage_refused("cannot be read as the standard says it is written"):
            mark_document = mark_regions if item.sop_class == RTSTRUCT_CLASS else mark_segments
            mark_document(pydicom.dcmread(item.path), canvas, tumour)

    return mark


@contextmanager
def _damage_refused(fact: str) -> Iterator[None]:
    """Refuse what pydicom cannot read; keep its warnings down, they quote values, and values may name a patient."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except DAMAGE as error:
            if isinstance(error, DataRefused):
                raise
            raise DataRefused(fact) from error
