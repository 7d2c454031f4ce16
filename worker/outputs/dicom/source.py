"""Attributes that a document copies from its source images.

A scanner's header may lack required attributes, or hold values that an encoder rejects (a sex of "U", a date with
dots), and the encoder's error may quote the patient's name. The encoders therefore get headers with only geometry and
equipment; patient and study are copied unchanged into the finished document.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from highdicom import SOPClass
from pydicom.dataset import Dataset

from models.volume import Volume
from worker.findings import Findings

SourceImages = Sequence[Dataset]
"""Headers of the series, one for each slice, in the slice order of the volume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The source images of a document: as they were received, and their plain headers on the volume's grid."""

    images: SourceImages
    headers: Sequence[Dataset]


_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
_GEOMETRY = ("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
             "FrameOfReferenceUID", "PositionReferenceIndicator", "SliceThickness")  # fmt: skip
_COMPRESSION = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "InstitutionName")
_PATIENT_AND_STUDY = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex",
                      "AccessionNumber", "StudyID", "StudyDate", "StudyTime")  # fmt: skip
# Retired from the Patient module but still in archives; all documents of a patient shall have the same values.
_ALSO_COPIED = ("EthnicGroup", "OtherPatientIDs")
# PS3.3 C.7.2.1, C.7.1.1: optional references to retired SOP classes, broken in many archives.
_NOT_COPIED = ("ReferencedStudySequence", "ReferencedPatientSequence")


def plain_header(image: Dataset) -> Dataset:
    """Return identifiers, geometry and equipment of the image, with empty patient and study attributes."""
    header = Dataset()
    for keyword in (*_IDENTITY, *_GEOMETRY, *_COMPRESSION, *_EQUIPMENT):
        if image.get(keyword) not in (None, ""):
            header[keyword] = image[keyword]
    for keyword in _PATIENT_AND_STUDY:
        setattr(header, keyword, None)
    return header


def source_of(images: SourceImages, findings: Findings) -> Source:
    """Return the images with plain headers that are consistent with the volume.

    All headers have one orientation, one frame of reference, and the spacing of the volume.
    """
    headers = [plain_header(image) for image in images]
    spacing_mm = round(_spacing_between_slices(findings.volume), 6)
    for header in headers:
        header.ImageOrientationPatient = headers[0].ImageOrientationPatient
        header.FrameOfReferenceUID = findings.frame_of_reference_uid
        header.SpacingBetweenSlices = spacing_mm
        if "SliceThickness" not in header:  # PS3.3 C.7.6.2: may be empty in the source
            header.SliceThickness = spacing_mm
    return Source(images=images, headers=headers)


def _spacing_between_slices(volume: Volume) -> float:
    # PS3.3 C.7.6.16.2.1: along the normal of the slices; in a tilted stack less than the distance of their centres.
    _, row_mm, column_mm = volume.spacing
    return 1000.0 * volume.voxel_ml / (row_mm * column_mm)


def copy_patient_and_study(document: SOPClass, image: Dataset) -> None:
    """Copy patient, study and their character set unchanged into a finished document."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warnings of pydicom quote values, which may contain a patient name
        document.copy_patient_and_study_information(image)
        for keyword in ("SpecificCharacterSet", *_ALSO_COPIED):
            if keyword in image:
                document[keyword] = image[keyword]
    for keyword in _NOT_COPIED:
        if keyword in document:
            delattr(document, keyword)
