"""Attributes that a document copies from its source images.

A scanner's header may lack required attributes, or hold values that an encoder rejects (a sex of "U", a date with
dots), and the encoder's error may quote the patient's name. The encoders therefore get headers with only geometry and
equipment; patient and study are copied unchanged into the finished document.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from highdicom import SOPClass
from pydicom.config import IGNORE
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.valuerep import PersonName

from models.volume import Volume
from worker.findings import Findings
from worker.frame import Frame
from worker.outputs.dicom.frames import stand_in

SourceImages = Sequence[Dataset]
"""Headers of the series, one for each slice, in the slice order of the volume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The source images of a document.

    images: as they were received. headers: plain headers on the volume's grid, of single-frame images: those of frames
    have a UID in the frame's place (frames.py).
    """

    images: SourceImages
    headers: Sequence[Dataset]
    frames: Mapping[str, Frame]
    """The frames of multi-frame images by the UID in their place."""


_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
_GEOMETRY = ("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
             "FrameOfReferenceUID", "PositionReferenceIndicator", "SliceThickness")  # fmt: skip
_COMPRESSION = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "InstitutionName")
_PATIENT_AND_STUDY = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex",
                      "AccessionNumber", "StudyID", "StudyDate", "StudyTime")  # fmt: skip
# Retired from the Patient module but still in archives; all documents of a patient shall have the same values.
_ALSO_COPIED = ("EthnicGroup", "OtherPatientIDs")
_TEXT = {"PN", "LO", "LT", "SH", "ST", "UC", "UT"}
"""VRs whose bytes depend on the character set (PS3.5 6.1.2.3)."""
UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, OverflowError, ArithmeticError)
"""Errors of pydicom on a value that is not valid for its VR."""
# PS3.3 C.7.2.1, C.7.1.1: optional references to retired SOP classes, broken in many archives.
_NOT_COPIED = ("ReferencedStudySequence", "ReferencedPatientSequence")


def value_of(image: Dataset, keyword: str) -> Any:  # noqa: ANN401 - of any VR
    """Return the value of an element; None if it is absent, empty, or not valid for its VR (a thickness of "5 mm")."""
    element = _valid(image, tag_for_keyword(keyword) or 0)
    return None if element is None or element.is_empty else element.value


def plain_header(image: Dataset) -> Dataset:
    """Return identifiers, geometry and equipment of the image, with empty patient and study attributes."""
    header = Dataset()
    for keyword in (*_IDENTITY, *_GEOMETRY, *_COMPRESSION, *_EQUIPMENT):
        if value_of(image, keyword) is not None:
            header[keyword] = image[keyword]
    for keyword in _PATIENT_AND_STUDY:
        setattr(header, keyword, None)
    return header


def source_of(images: SourceImages, findings: Findings) -> Source:
    """Return the images with plain headers that are consistent with the volume.

    All headers have one orientation and one frame of reference, and, if their images are evenly spaced, the spacing.
    """
    headers = [plain_header(image) for image in images]
    frames = {
        stand_in(header, frame): frame for header, frame in zip(headers, findings.frames, strict=True) if frame.number
    }
    spacing_mm = round(_spacing_between_slices(findings.volume), 6)
    is_even = findings.volume.places is None
    for header in headers:
        header.ImageOrientationPatient = headers[0].ImageOrientationPatient
        header.FrameOfReferenceUID = findings.frame_of_reference_uid
        if is_even:
            header.SpacingBetweenSlices = spacing_mm
        if float(header.get("SliceThickness") or 0) <= 0:  # PS3.3 C.7.6.2: may be empty in the source
            header.SliceThickness = spacing_mm
    return Source(images=images, headers=headers, frames=frames)


def _spacing_between_slices(volume: Volume) -> float:
    # PS3.3 C.7.6.16.2.1: along the normal of the slices; in a tilted stack less than the distance of their centres.
    _, row_mm, column_mm = volume.spacing
    return 1000.0 * volume.voxel_ml / (row_mm * column_mm)


def copy_patient_and_study(document: SOPClass, image: Dataset) -> None:
    """Copy patient, study and their character set unchanged into a finished document.

    Texts keep their bytes, also where these contradict the character set that the header declares: decoded and encoded
    again, the name would be another one. Elements that are not valid for their VR are left out.
    """
    own = {element.tag for element in document if element.value}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warnings of pydicom quote values, which may contain a patient name
        document.copy_patient_and_study_information(_readable(image))
        for keyword in ("SpecificCharacterSet", *_ALSO_COPIED):
            if value_of(image, keyword) is not None:
                document[keyword] = image[keyword]
    for keyword in _NOT_COPIED:
        if keyword in document:
            delattr(document, keyword)
    for element in [*document]:
        source = image.get_item(element.tag) if element.tag in image else None
        if element.VR in _TEXT and isinstance(source, RawDataElement) and element.tag not in own:
            document[element.tag] = _as_bytes(element, source.value or b"")


def _as_bytes(element: DataElement, encoded: bytes) -> DataElement:
    """Return an element that is written as these bytes."""
    if element.VR == "PN":  # it alone remembers what it was decoded from
        return DataElement(element.tag, "PN", PersonName(encoded, original_string=encoded))
    return DataElement(element.tag, element.VR, encoded, validation_mode=IGNORE)


def _readable(image: Dataset) -> Dataset:
    """Return the elements that are valid for their VR; those of `image` stay as they were read."""
    tags = list(image.keys())
    readable = Dataset({tag: image.get_item(tag) for tag in tags})
    for tag in tags:
        if _valid(readable, tag) is None:
            del readable[tag]
    return readable


def _valid(image: Dataset, tag: int) -> DataElement | None:
    """Return an element; None if it is absent or not valid for its VR."""
    try:
        element: DataElement | None = image.get(Tag(tag))
        if element is not None and element.VR in ("DS", "IS") and not element.is_empty:
            np.asarray(element.value, np.float64)  # pydicom may return a text that is no number as it is
    except UNREADABLE:
        return None
    return element
