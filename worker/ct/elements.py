"""Elements of a CT header that the analysis needs: one that is not valid counts as missing."""

from __future__ import annotations

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

from dicom_node.dicom_file import value_of
from dicom_node.errors import UnreadableInstance
from dicom_node.identifiers import is_uid
from worker.ct.rejections import NotHounsfield, TruncatedInstance, UndecodablePixels

REQUIRED_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
PADDING = ("PixelPaddingValue", "PixelPaddingRangeLimit")
PIXEL_DESCRIPTION = ("BitsAllocated", "BitsStored", "PixelRepresentation")
WHOLE_NUMBERS = ("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "HighBit", *PIXEL_DESCRIPTION)
USED = (
    *REQUIRED_UIDS, *WHOLE_NUMBERS, *PADDING, "FrameOfReferenceUID", "Modality", "ImageType", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept", "RescaleType",
    "ConvolutionKernel", "FilterType", "AcquisitionNumber", "KVP",
)  # fmt: skip
MOST_PIXELS = 8192
"""Rows or columns; scanners write 512 to 2048."""
BITS_ALLOCATED = (8, 16, 32)
LONGEST_BYTES = 1 << 16
"""Of an element that is not a sequence; what is read is much shorter."""


def require_uids(ds: Dataset) -> None:
    """Raise UnreadableInstance if a UID is missing or is none: messages quote UIDs, and shall quote no other text."""
    for keyword in REQUIRED_UIDS:
        if not is_uid(value_of(ds, keyword)):
            raise UnreadableInstance(f"{keyword} is missing or not a UID")
    if not is_uid(value_of(ds.file_meta, "TransferSyntaxUID")):
        raise UnreadableInstance("TransferSyntaxUID is missing or not a UID")


def remove_unneeded(ds: Dataset) -> None:
    """Remove private and long elements, which nothing is taken from: the headers of all slices are kept in memory."""
    for tag in list(ds.keys()):
        element = ds.get_item(tag, keep_deferred=True)
        if tag.is_private or (isinstance(element, RawDataElement) and len(element.value or b"") > LONGEST_BYTES):
            del ds[tag]


def remove_invalid(ds: Dataset) -> None:
    """Remove the elements that are used and not valid for their VR. Raises NotHounsfield for a padding value."""
    for keyword in USED:
        value = value_of(ds, keyword)
        if value is None and keyword not in ds:
            continue
        if keyword in PADDING and not isinstance(value, int) and not _is_empty(ds, keyword):
            raise NotHounsfield(*_uids(ds), f"{keyword} is not a number, and air cannot be told from padding")
        if value is None or not _IS_VALID.get(keyword, _is_any)(value):
            del ds[keyword]


def check_pixel_description(ds: Dataset, pixel_bytes: int | None) -> None:
    """Raise UndecodablePixels or TruncatedInstance if the pixels cannot be those that the header describes.

    pixel_bytes: length of the pixel data; None if it is compressed, or not known. Rows and Columns are valid.
    """
    for keyword in PIXEL_DESCRIPTION:
        if keyword not in ds:
            raise UndecodablePixels(*_uids(ds), f"{keyword} is missing or not a number")
    if ds.BitsAllocated not in BITS_ALLOCATED:
        raise UndecodablePixels(*_uids(ds), f"BitsAllocated is {ds.BitsAllocated}, not one of {BITS_ALLOCATED}")
    if max(ds.Rows, ds.Columns) > MOST_PIXELS:
        raise UndecodablePixels(*_uids(ds), f"{ds.Rows} rows and {ds.Columns} columns (limit {MOST_PIXELS})")
    if pixel_bytes is None:
        return
    row_bytes = ds.Columns * ds.BitsAllocated // 8
    needed = ds.Rows * row_bytes
    if pixel_bytes < needed:
        raise TruncatedInstance(*_uids(ds), f"{pixel_bytes} bytes of pixel data, {needed} are needed")
    if pixel_bytes >= needed + max(row_bytes, 2):  # less is padding
        fact = f"{pixel_bytes} bytes of pixel data, Rows, Columns and BitsAllocated need {needed}"
        raise UndecodablePixels(*_uids(ds), fact)


def _is_whole(value: object) -> bool:
    return isinstance(value, int)


def _is_any(_value: object) -> bool:
    return True


_IS_VALID = dict.fromkeys(WHOLE_NUMBERS, _is_whole) | {"FrameOfReferenceUID": is_uid}


def _is_empty(ds: Dataset, keyword: str) -> bool:
    element = ds.get_item(keyword, keep_deferred=True)
    return element is not None and not element.value


def _uids(ds: Dataset) -> tuple[str, str]:
    return str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID)
