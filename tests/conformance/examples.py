"""Small encoded documents: one with all that a result can have, and others with as little as possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pydicom
from pydicom.dataset import Dataset

from dicom_node.errors import SeriesRejected
from tests.fixtures.models.model_card import CARD
from tests.fixtures.worker.analysed_series import JOB_KEY, analyse_in
from tests.fixtures.worker.described import described
from tests.fixtures.worker.five_compared import compared
from tests.fixtures.worker.measured import report_of
from tests.fixtures.worker.reading import FIVE, saved
from worker.outputs.dicom.rejection import write_rejection

_OPTIONAL = (
    "StudyID", "SeriesNumber", "AcquisitionNumber", "AccessionNumber", "StudyDate", "StudyTime", "SeriesDate",
    "SeriesTime", "AcquisitionDate", "AcquisitionTime", "ContentDate", "ContentTime", "PatientName", "PatientBirthDate",
    "PatientSex", "ReferringPhysicianName", "Manufacturer", "BodyPartExamined", "PatientPosition", "SliceThickness",
    "PositionReferenceIndicator",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """The first image of a series, and the documents that were made of it, by name."""

    image: Dataset
    documents: dict[str, Dataset]


@cache
def examples() -> tuple[Example, ...]:
    """Return a full header with five compared lesions, and a bare one with one lesion and with none, without priors."""
    return (_example(_fill, FIVE), _example(_strip, FIVE[:1]), _example(_strip, []))


def _example(change: Callable[[Dataset], object], lesions: list[tuple[slice, slice, slice]]) -> Example:
    with TemporaryDirectory() as name:
        folder = Path(name)
        shape = (12, 40, 36) if lesions == FIVE else (12, 48, 44)
        made = analyse_in(folder / "ct")([*lesions], change, shape=shape)
        report = compared(described(made.findings)) if lesions == FIVE else report_of(made.findings)
        files = saved(made, folder, report=report)
        rejected = SeriesRejected(made.series.series_uid, "an example")
        (rejection,) = write_rejection(made.ct_files, rejected, CARD, JOB_KEY, folder)
        files["rejection"] = folder / rejection.file_name
        return Example(
            image=made.series.datasets[0], documents={name: pydicom.dcmread(file) for name, file in files.items()}
        )


def _fill(image: Dataset) -> None:
    image.SpecificCharacterSet = "ISO_IR 100"
    image.StudyInstanceUID, image.FrameOfReferenceUID = "1.2.11", "1.2.13"
    image.PatientName, image.PatientID, image.PatientBirthDate, image.PatientSex = "A^B", "P1", "19500101", "F"
    image.StudyDescription, image.ReferringPhysicianName = "CHEST", "C^D"
    image.PatientAge, image.PatientSize, image.PatientWeight = "075Y", 1.7, 70
    image.ManufacturerModelName, image.SoftwareVersions, image.DeviceSerialNumber = "CT", "1", "2"
    image.InstitutionName = "E"
    image.LossyImageCompression, image.LossyImageCompressionRatio = "01", 4
    image.LossyImageCompressionMethod = "ISO_15444_1"


def _strip(image: Dataset) -> None:
    for keyword in _OPTIONAL:
        if keyword in image:
            delattr(image, keyword)
