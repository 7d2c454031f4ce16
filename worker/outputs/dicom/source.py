"""What a result takes over from its source images. Knows geometry and identity, no findings.

A scanner's header may lack what is required, or hold what an encoder refuses (a sex of "U", a date with dots), and an
encoder's complaint may quote the patient's name. So the encoders are given headers with geometry and equipment alone;
patient and study are copied into the finished document, letter by letter.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from highdicom import SOPClass
from pydicom.dataset import Dataset

from models.volume import Volume
from worker.findings import Findings

SourceImages = Sequence[Dataset]
"""The headers of the series, one per slice, in the volume's slice order."""

_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
_GEOMETRY = ("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
             "FrameOfReferenceUID", "PositionReferenceIndicator", "SliceThickness")  # fmt: skip
_COMPRESSION = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "InstitutionName")
_PATIENT_AND_STUDY = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex",
                      "AccessionNumber", "StudyID", "StudyDate", "StudyTime")  # fmt: skip
# Retired from the standard's Patient module, not from the archives; a patient's documents shall agree on them.
_ALSO_TAKEN_OVER = ("EthnicGroup", "OtherPatientIDs")
# PS3.3 C.7.2.1, C.7.1.1: optional, to SOP classes long retired, and broken in many archives.
_NOT_TAKEN_OVER = ("ReferencedStudySequence", "ReferencedPatientSequence")


def plain_header(image: Dataset) -> Dataset:
    """Return the image's identity, geometry and equipment, with patient and study left blank."""
    header = Dataset()
    for keyword in (*_IDENTITY, *_GEOMETRY, *_COMPRESSION, *_EQUIPMENT):
        if image.get(keyword) not in (None, ""):
            header[keyword] = image[keyword]
    for keyword in _PATIENT_AND_STUDY:
        setattr(header, keyword, None)
    return header


def volume_headers(images: SourceImages, findings: Findings) -> list[Dataset]:
    """Return plain headers that agree with the volume: one orientation, one frame of reference, its true spacing."""
    headers = [plain_header(image) for image in images]
    spacing_mm = round(_spacing_between_slices(findings.volume), 6)
    for header in headers:
        header.ImageOrientationPatient = headers[0].ImageOrientationPatient
        header.FrameOfReferenceUID = findings.frame_of_reference_uid
        header.SpacingBetweenSlices = spacing_mm
        if "SliceThickness" not in header:  # PS3.3 C.7.6.2: it may be empty; a frame then stands for its share
            header.SliceThickness = spacing_mm
    return headers


def _spacing_between_slices(volume: Volume) -> float:
    # PS3.3 C.7.6.16.2.1: along the slices' normal, which in a tilted stack is less than from centre to centre.
    _, row_mm, column_mm = volume.spacing
    return 1000.0 * volume.voxel_ml / (row_mm * column_mm)


def take_over_patient_and_study(document: SOPClass, image: Dataset) -> None:
    """Copy the patient, the study and the character set they are written in into a finished document."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom quotes values in its warnings, and values may name a patient
        document.copy_patient_and_study_information(image)
        for keyword in ("SpecificCharacterSet", *_ALSO_TAKEN_OVER):
            if keyword in image:
                document[keyword] = image[keyword]
    for keyword in _NOT_TAKEN_OVER:
        if keyword in document:
            delattr(document, keyword)
