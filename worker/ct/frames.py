"""Decodes one compressed frame: by pydicom's plugins, or here in transfer syntaxes that pydicom 3.0 does not know."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, ExplicitVRLittleEndian, RLELossless

from dicom_node.transfer_syntaxes import (
    DEFLATED_FRAMES,
    ENCAPSULATED_UNCOMPRESSED,
    JPEG_XL,
    JPEG_XL_LOSSLESS,
    JPEG_XL_RECOMPRESSION,
)

HOLDS_NATIVE_PIXELS = frozenset({ENCAPSULATED_UNCOMPRESSED, DEFLATED_FRAMES})
"""Their frames are native pixel data, as it is or deflated."""
_JPEG_XL_FAMILY = frozenset({JPEG_XL_LOSSLESS, JPEG_XL_RECOMPRESSION, JPEG_XL})
_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_END_MARKER = b"\xff\xd9"
_MAX_PADDING = 16


def is_cut_off(frame: bytes, syntax: UID) -> bool:
    """Return whether the end of a frame is missing, for the codecs whose decoders do not notice."""
    # PS3.5 A.4: JPEG, JPEG-LS and JPEG 2000 streams end with a marker and padding. Decoders fill the rest of a
    # truncated stream with arbitrary values, without an error. That of JPEG XL raises one.
    has_marker = syntax.startswith(_JPEG_FAMILY) and syntax not in _JPEG_XL_FAMILY
    return has_marker and _END_MARKER not in frame[-_MAX_PADDING:]


def unpack(image: Dataset, frame: bytes, syntax: UID, size: int) -> Dataset:
    """Replace the pixel data of an image by the native pixels, at most `size` bytes, that its frame holds."""
    is_deflated = syntax == DEFLATED_FRAMES  # PS3.5 A.4.13: without a zlib header, one frame a fragment
    image.PixelData = zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, size) if is_deflated else frame
    image.file_meta = FileMetaDataset()  # the other frames keep theirs
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return image


def decode(image: Dataset, frame: bytes, syntax: UID) -> NDArray[np.generic]:
    """Return the stored values of an image of one frame. Raises the decoder's error if the frame is damaged."""
    if syntax in _JPEG_XL_FAMILY:
        return _decode_jpeg_xl(image, frame)
    # pylibjpeg-rle panics on damaged streams, which `except Exception` does not catch: the worker would exit. pydicom's
    # own decoder takes 10 ms per image instead of 1 ms.
    return pixel_array(image, decoding_plugin="pydicom" if syntax == RLELossless else "")


def _decode_jpeg_xl(image: Dataset, frame: bytes) -> NDArray[np.generic]:
    import imagecodecs

    if image.get("PixelRepresentation") == 1:
        raise ValueError("JPEG XL has no signed integers")
    pixels: NDArray[np.generic] = imagecodecs.jpegxl_decode(frame)
    return pixels
