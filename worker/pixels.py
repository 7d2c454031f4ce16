"""Reads one CT instance's pixels as Hounsfield units. Refuses truncated and undecodable ones; knows no geometry."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID

from worker.refusals import NotHounsfield, TruncatedInstance, UndecodablePixels

AIR_HU = -1000.0
PLAUSIBLE_HU = (-900.0, 3071.0)
"""A padding value within is not believed: replacing a tissue's value by air would make holes."""

Stored = NDArray[np.integer]
Pixels = NDArray[np.float32]

# What the decoders of pydicom and its plug-ins raise on damaged streams.
DECODING_ERRORS = (RuntimeError, ValueError, AttributeError, KeyError, IndexError, TypeError, EOFError, struct.error)


def check_rescale(ds: Dataset) -> None:
    """Refuse an instance whose stored values do not become Hounsfield units by slope and intercept."""
    # PS3.3 C.8.2.1.1 and C.11.1.1.2: without a Rescale Type a CT image is in Hounsfield units.
    unit = str(ds.get("RescaleType") or "HU").strip().upper()
    if unit != "HU":
        raise _not_hounsfield(ds, f"RescaleType is not HU but {unit[:16]!a}")
    try:
        slope, intercept = float(ds.RescaleSlope), float(ds.RescaleIntercept)
    except (AttributeError, TypeError, ValueError):
        raise _not_hounsfield(ds, "RescaleSlope or RescaleIntercept is missing or not a number") from None
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        raise _not_hounsfield(ds, "RescaleSlope is 0, or a value is not finite")


def read_hounsfield(path: Path, out: Pixels) -> None:
    """Write the Hounsfield units of a file's image into `out`, each slice with its own rescale; padding becomes air."""
    ds = dcmread(path)
    stored = _stored(ds, out.shape)
    np.multiply(stored, np.float32(ds.RescaleSlope), out=out, casting="same_kind")
    out += np.float32(ds.RescaleIntercept)
    _clear_padding(ds, stored, out)


def _stored(ds: Dataset, shape: tuple[int, ...]) -> Stored:
    element = ds.get_item("PixelData")
    if element is None:  # pydicom leaves out a compressed value that the file ends in
        raise _truncated(ds, "its pixel data is missing or incomplete")
    syntax = UID(ds.file_meta.TransferSyntaxUID)
    if syntax.is_compressed and not syntax.is_deflated:
        return _decode(ds, syntax, shape)
    bits = ds.get("BitsAllocated")
    needed = shape[0] * shape[1] * int(bits or 16) // 8
    if len(element.value or b"") < needed:
        raise _truncated(ds, f"{len(element.value or b'')} bytes of pixel data, {needed} are needed")
    return _native(ds, shape) if bits == 16 else _decode(ds, syntax, shape)


def _native(ds: Dataset, shape: tuple[int, ...]) -> Stored:
    """Read 16-bit pixels as they lie; far faster than the general way, and without a copy where no bits are unused."""
    order = "<" if ds.original_encoding[1] else ">"
    signed = ds.get("PixelRepresentation") == 1
    flat = np.frombuffer(ds.PixelData, f"{order}{'i' if signed else 'u'}2", count=shape[0] * shape[1])
    bits_stored = int(ds.get("BitsStored") or 16)
    high_bit = int(ds.get("HighBit") or bits_stored - 1)
    if not 0 < bits_stored <= high_bit + 1 <= 16:
        raise _undecodable(ds, f"BitsStored {bits_stored} and HighBit {high_bit} contradict each other")
    if bits_stored < 16:
        # PS3.5 8.1.1: bits outside of the stored ones may hold anything, such as an old overlay.
        flat = (flat << (15 - high_bit)) >> (16 - bits_stored)
    return flat.reshape(shape)


def _decode(ds: Dataset, syntax: UID, shape: tuple[int, ...]) -> Stored:
    try:
        stored: Stored = ds.pixel_array
    except DECODING_ERRORS as error:
        raise _undecodable(ds, f"{syntax.name}, {type(error).__name__}") from error
    if stored.shape != shape or not np.issubdtype(stored.dtype, np.integer):
        raise _undecodable(ds, f"{syntax.name}, shape {stored.shape} where {shape} is needed")
    return stored


def _clear_padding(ds: Dataset, stored: Stored, out: Pixels) -> None:
    """Set what lies outside of the reconstructed circle to air."""
    # PS3.3 C.7.5.1.1.2: one value, or a range with PixelPaddingRangeLimit; both are stored values.
    edges = [_padding(ds, keyword, stored.dtype) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    values = [edge for edge in edges if edge is not None]
    if edges[0] is None or any(_is_plausible(ds, value) for value in values):
        return
    out[(stored >= min(values)) & (stored <= max(values))] = AIR_HU


def _padding(ds: Dataset, keyword: str, dtype: np.dtype[np.integer]) -> int | None:
    value = ds.get(keyword)
    # Some writers give a negative value as unsigned, or the other way round: the bits are what counts.
    return int(np.array(value, np.int64).astype(dtype)) if isinstance(value, int) else None


def _is_plausible(ds: Dataset, value: int) -> bool:
    return PLAUSIBLE_HU[0] <= value * float(ds.RescaleSlope) + float(ds.RescaleIntercept) <= PLAUSIBLE_HU[1]


def _not_hounsfield(ds: Dataset, fact: str) -> NotHounsfield:
    return NotHounsfield(str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID), fact)


def _truncated(ds: Dataset, fact: str) -> TruncatedInstance:
    return TruncatedInstance(str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID), fact)


def _undecodable(ds: Dataset, why: str) -> UndecodablePixels:
    return UndecodablePixels(str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID), why)
