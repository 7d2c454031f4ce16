"""What a document takes from its source images; made, with all its checks, before the analysis.

A scanner's header may lack required attributes, or hold values that an encoder rejects (a sex of "U", a date with
dots), and the encoder's error may quote the patient's name. The encoders therefore get headers with only geometry and
equipment; patient and study are copied unchanged into the finished document (`identity.py`).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from pydicom.config import IGNORE
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.valuerep import DA, TM

from dicom_node.dicom_file import DAMAGE, element_of, value_of
from models.volume import Volume
from worker.ct.reader import LoadedSeries
from worker.frame import Frame
from worker.outputs.dicom.frames import stand_in
from worker.outputs.dicom.identity import identity_of

SourceImages = Sequence[Dataset]
"""Headers of the series, one for each slice, in the slice order of the volume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The source images of a document, on the volume's grid, and what is copied from them."""

    headers: SourceImages
    """Plain headers of single-frame images: identifiers, geometry and equipment, with empty patient and study
    attributes. Those of frames have a UID in the frame's place (frames.py)."""
    frames: Mapping[str, Frame]
    """The frames of multi-frame images by the UID in their place."""
    identity: Dataset
    """Patient, study and character set of the first image, ready to be written."""
    series_number: int
    """0 if the source has none."""
    content_time: tuple[str, str]
    """Date and time of the newest image; 1970-01-01 if no image has a valid date."""


_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Modality")
_GEOMETRY = ("Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
             "FrameOfReferenceUID", "PositionReferenceIndicator", "SliceThickness")  # fmt: skip
_COMPRESSION = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")
_EQUIPMENT = ("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "DeviceSerialNumber", "InstitutionName")
_OPTIONAL = (*_COMPRESSION, *_EQUIPMENT, "PositionReferenceIndicator")
_PATIENT_AND_STUDY = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex",
                      "AccessionNumber", "StudyID", "StudyDate", "StudyTime")  # fmt: skip
_LONGEST_TEXT = 64
"""Characters of an LO (PS3.5 6.2)."""
_CODE = re.compile(r"[A-Z0-9_ ]{1,16}")
"""A CS (PS3.5 6.2)."""
_UNDECODED = "\N{REPLACEMENT CHARACTER}"
_DATES = (("ContentDate", "ContentTime"), ("AcquisitionDate", "AcquisitionTime"), ("SeriesDate", "SeriesTime"),
          ("StudyDate", "StudyTime"))  # fmt: skip
_NO_DATE = ("19700101", "000000")


def source_of(series: LoadedSeries) -> Source:
    """Return the images with plain headers that are consistent with the volume.

    All headers have one orientation and one frame of reference, and, if their images are evenly spaced, the spacing.
    """
    source = source_of_images(series.datasets)
    frames = {
        stand_in(header, frame): frame
        for header, frame in zip(source.headers, series.frames, strict=True)
        if frame.number
    }
    spacing_mm = round(_spacing_between_slices(series.volume), 6)
    for header in source.headers:
        header.ImageOrientationPatient = source.headers[0].ImageOrientationPatient
        header.FrameOfReferenceUID = series.frame_of_reference_uid
        if series.volume.places is None:
            header.SpacingBetweenSlices = spacing_mm
        if float(header.get("SliceThickness") or 0) <= 0:  # PS3.3 C.7.6.2: may be empty in the source
            header.SliceThickness = spacing_mm
    return replace(source, frames=frames)


def source_of_images(images: SourceImages) -> Source:
    """Return what can be taken from images that may form no volume."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warnings of pydicom quote values, which may contain a patient name
        return Source(
            headers=[plain_header(image) for image in images],
            frames={},
            identity=identity_of(images[0]),
            series_number=_series_number(images[0]),
            content_time=max(map(_time_of, images), default=_NO_DATE),
        )


def plain_header(image: Dataset) -> Dataset:
    """Return identifiers, geometry and equipment of the image, with empty patient and study attributes."""
    header = Dataset()
    for keyword in (*_IDENTITY, *_GEOMETRY, *_COMPRESSION, *_EQUIPMENT):
        element = element_of(image, Tag(tag_for_keyword(keyword) or 0))
        if element is not None and not element.is_empty and (keyword not in _OPTIONAL or _is_plain(element)):
            header.add(DataElement(element.tag, element.VR, element.value, validation_mode=IGNORE))
    for keyword in _PATIENT_AND_STUDY:
        setattr(header, keyword, None)
    return header


def _is_plain(element: DataElement) -> bool:
    """Whether an encoder takes a text as it is: not too long, and decoded without loss."""
    texts = [str(value) for value in (element.value if element.VM > 1 else [element.value])]
    if element.VR == "CS":
        return all(map(_CODE.fullmatch, texts))
    return all(text.isprintable() and len(text) <= _LONGEST_TEXT and _UNDECODED not in text for text in texts)


def copy_identity(document: Dataset, source: Source) -> None:
    """Copy patient, study and their character set into a finished document."""
    for element in source.identity:
        document[element.tag] = element


def _spacing_between_slices(volume: Volume) -> float:
    # PS3.3 C.7.6.16.2.1: along the normal of the slices; in a tilted stack less than the distance of their centres.
    _, row_mm, column_mm = volume.spacing
    return 1000.0 * volume.voxel_ml / (row_mm * column_mm)


def _series_number(image: Dataset) -> int:
    number = value_of(image, "SeriesNumber")
    return abs(int(number)) if isinstance(number, int | float) else 0


def _time_of(image: Dataset) -> tuple[str, str]:
    for date_keyword, time_keyword in _DATES:
        date, time = str(value_of(image, date_keyword) or ""), str(value_of(image, time_keyword) or "")
        if _is_valid(DA, date):
            return date, time if len(time) >= 6 and _is_valid(TM, time) else "000000"
    return _NO_DATE


def _is_valid(kind: type[DA | TM], text: str) -> bool:
    try:
        return len(text) >= 6 and text[:6].isdigit() and str(kind(text)) == text
    except DAMAGE:
        return False
