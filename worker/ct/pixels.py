"""Pixels of one CT image or frame as Hounsfield units; raises a SeriesRejected if they are truncated or undecodable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from dicom_node import transfer_syntaxes
from dicom_node.dicom_file import DAMAGE
from dicom_node.errors import UnreadableInstance
from worker.ct.frame_reference import frame_of
from worker.ct.frame_size import UnreadableFrame, frame_size, is_too_long
from worker.ct.frames import HOLDS_NATIVE_PIXELS, decode, is_cut_off, unpack
from worker.ct.image_files import ImageFiles
from worker.ct.rejections import NotHounsfield, TruncatedInstance, UndecodablePixels

AIR_HU = -1000.0
PLAUSIBLE_HU = (-900.0, 3071.0)
"""A padding value in this range is ignored: replacing tissue values by air would create holes."""

HOUNSFIELD = {"HU", "HOUNSFIELD", "HOUNSFIELD UNIT", "HOUNSFIELD UNITS"}
"""Rescale Type (0028,1054) of Hounsfield units: HU is the defined term, the others are found in archives."""
OTHER_UNITS = {"OD", "US", "MGML", "Z_EFF", "ED", "EDW", "HU_MOD", "PCT"}
"""Its other defined terms (PS3.3 C.11.1.1.2)."""

Stored = NDArray[np.integer]
Pixels = NDArray[np.float32]


def check_rescale(ds: Dataset) -> None:
    """Raise NotHounsfield if slope and intercept do not convert the stored values to Hounsfield units."""
    # PS3.3 C.8.2.1.1 and C.11.1.1.2: without a Rescale Type a CT image is in Hounsfield units.
    unit = str(ds.get("RescaleType") or "HU").strip().upper()
    if unit not in HOUNSFIELD:
        # Any other text is not quoted: it may be a patient's.
        raise _not_hounsfield(ds, f"RescaleType is {unit if unit in OTHER_UNITS else 'another text'}, not HU")
    try:
        slope, intercept = float(ds.RescaleSlope), float(ds.RescaleIntercept)
    except (AttributeError, TypeError, ValueError):
        raise _not_hounsfield(ds, "RescaleSlope or RescaleIntercept is missing or not a number") from None
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        raise _not_hounsfield(ds, "RescaleSlope is 0, or a value is not finite")


def read_hounsfield(files: ImageFiles, path: Path, header: Dataset, out: Pixels) -> None:
    """Write the Hounsfield units of a file's image or frame to `out`, (row, column); padding is set to air.

    header: its data set without pixels; gives rescale and padding. Raises TruncatedInstance or UndecodablePixels.
    """
    stored = _stored(files, path, header, out.shape)
    np.multiply(stored, np.float32(header.RescaleSlope), out=out, casting="same_kind")
    out += np.float32(header.RescaleIntercept)
    _clear_padding(header, stored, out)


def _stored(files: ImageFiles, path: Path, header: Dataset, shape: tuple[int, ...]) -> Stored:
    syntax = UID(header.file_meta.TransferSyntaxUID)
    if syntax not in transfer_syntaxes.ALL:
        raise _undecodable(header, f"{transfer_syntaxes.name_of(syntax)} is not supported")
    try:
        image = files.image(path, frame_of(header).number)
        element = image.get_item("PixelData")
        if element is None:  # pydicom omits a compressed value that is cut off by the end of the file
            raise _truncated(header, "its pixel data is missing or incomplete")
        if syntax in transfer_syntaxes.COMPRESSED:
            return _decode(header, image, syntax, shape)
        return _native(header, image, shape)
    except (UnreadableInstance, *DAMAGE) as error:
        raise _undecodable(header, f"{transfer_syntaxes.name_of(syntax)}, {type(error).__name__}") from error


def _native(header: Dataset, image: Dataset, shape: tuple[int, ...]) -> Stored:
    """Return uncompressed pixels; 16-bit pixels are read directly, faster than by pydicom and without a copy."""
    bits = int(image.BitsAllocated)
    needed, found = shape[0] * shape[1] * bits // 8, len(image.PixelData)
    if found < needed:
        raise _truncated(header, f"{found} bytes of pixel data, {needed} are needed")
    if bits != 16:
        return _checked(header, pixel_array(image), shape)
    order = "<" if image.original_encoding[1] else ">"
    signed = image.get("PixelRepresentation") == 1
    flat = np.frombuffer(image.PixelData, f"{order}{'i' if signed else 'u'}2", count=shape[0] * shape[1])
    bits_stored = int(image.get("BitsStored") or 16)
    high_bit = int(image.get("HighBit") or bits_stored - 1)
    if not 0 < bits_stored <= high_bit + 1 <= 16:
        raise _undecodable(header, f"BitsStored {bits_stored} and HighBit {high_bit} contradict each other")
    if bits_stored < 16:
        # PS3.5 8.1.1: bits outside of the stored ones may have any value, e.g. of an old overlay.
        flat = (flat << (15 - high_bit)) >> (16 - bits_stored)
    return flat.reshape(shape)


def _decode(header: Dataset, image: Dataset, syntax: UID, shape: tuple[int, ...]) -> Stored:
    (frame,) = generate_frames(image.PixelData, number_of_frames=1)
    if is_cut_off(frame, syntax):
        raise _truncated(header, "its compressed image has no end marker")
    if syntax in HOLDS_NATIVE_PIXELS:
        size = shape[0] * shape[1] * int(image.BitsAllocated) // 8
        return _native(header, unpack(image, frame, syntax, size), shape)
    _check_size(header, frame, syntax, shape)
    return _checked(header, decode(image, frame, syntax), shape)


def _check_size(header: Dataset, frame: bytes, syntax: UID, shape: tuple[int, ...]) -> None:
    """Raise UndecodablePixels if a decoder would make another image of a frame than Rows and Columns say."""
    try:
        size = frame_size(frame, syntax)
    except UnreadableFrame as error:
        raise _undecodable(header, f"{transfer_syntaxes.name_of(syntax)}, {error}") from None
    if size is not None and ((size.rows, size.columns) != shape or size.components != 1):
        what = f"{size.rows} rows and {size.columns} columns of {size.components} component(s)"
        raise _undecodable(header, f"its frame has {what}, the header {shape[0]} and {shape[1]} of 1")
    if is_too_long(frame, syntax, shape[0] * shape[1]):
        raise _undecodable(header, f"its frame has {len(frame)} bytes, too many for {shape[0]} x {shape[1]} pixels")


def _checked(header: Dataset, stored: NDArray[Any], shape: tuple[int, ...]) -> Stored:
    if stored.shape != shape or not np.issubdtype(stored.dtype, np.integer):
        raise _undecodable(header, f"decoded to the shape {stored.shape} where {shape} is needed")
    return stored


def _clear_padding(ds: Dataset, stored: Stored, out: Pixels) -> None:
    """Set padding, the pixels outside of the reconstruction circle, to air."""
    # PS3.3 C.7.5.1.1.2: one value, or a range with PixelPaddingRangeLimit; both are stored values.
    limits = [_padding(ds, keyword, stored.dtype) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    values = [limit for limit in limits if limit is not None]
    if limits[0] is None or any(_is_plausible(ds, value) for value in values):
        return
    out[(stored >= min(values)) & (stored <= max(values))] = AIR_HU


def _padding(ds: Dataset, keyword: str, dtype: np.dtype[np.integer]) -> int | None:
    value = ds.get(keyword)
    # Some writers give a negative value as unsigned or vice versa, so the bits are compared.
    return int(np.array(value, np.int64).astype(dtype)) if isinstance(value, int) else None


def _is_plausible(ds: Dataset, value: int) -> bool:
    return PLAUSIBLE_HU[0] <= value * float(ds.RescaleSlope) + float(ds.RescaleIntercept) <= PLAUSIBLE_HU[1]


def _not_hounsfield(ds: Dataset, fact: str) -> NotHounsfield:
    return NotHounsfield(str(ds.SeriesInstanceUID), frame_of(ds).name, fact)


def _truncated(ds: Dataset, fact: str) -> TruncatedInstance:
    return TruncatedInstance(str(ds.SeriesInstanceUID), frame_of(ds).name, fact)


def _undecodable(ds: Dataset, why: str) -> UndecodablePixels:
    return UndecodablePixels(str(ds.SeriesInstanceUID), frame_of(ds).name, why)
