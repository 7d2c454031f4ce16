"""Transfer syntaxes of images: the node accepts exactly those that the worker decodes."""

from __future__ import annotations

from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

UNCOMPRESSED = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)
"""Their pixel data is native; all others are explicit VR little endian with encapsulated pixel data (PS3.5 A.4)."""

ENCAPSULATED_UNCOMPRESSED = UID("1.2.840.10008.1.2.1.98")
DEFLATED_FRAMES = UID("1.2.840.10008.1.2.8.1")
JPEG_XL_LOSSLESS, JPEG_XL_RECOMPRESSION, JPEG_XL = (UID(f"1.2.840.10008.1.2.4.{n}") for n in (110, 111, 112))
_NAMES = {
    DEFLATED_FRAMES: "Deflated Image Frame Compression",
    JPEG_XL_LOSSLESS: "JPEG XL Lossless",
    JPEG_XL_RECOMPRESSION: "JPEG XL JPEG Recompression",
    JPEG_XL: "JPEG XL",
}
"""Names in PS3.6 table A-1, of those that pydicom 3.0 does not know."""

LOSSLESS = (
    JPEGLosslessSV1, JPEGLossless, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless, HTJ2KLosslessRPCL, JPEG_XL_LOSSLESS,
    RLELossless, DEFLATED_FRAMES, ENCAPSULATED_UNCOMPRESSED,
)  # fmt: skip
LOSSY = (
    JPEG2000, HTJ2K, JPEG_XL, JPEGLSNearLossless, JPEGExtended12Bit, JPEGBaseline8Bit, JPEG_XL_RECOMPRESSION,
)  # fmt: skip
"""Those that allow loss; an image in one of the first four may be exact all the same."""
COMPRESSED = (*LOSSLESS, *LOSSY)
ALL = (*UNCOMPRESSED, *COMPRESSED)
"""In the order in which the SCP prefers them, if a context has several."""


def name_of(transfer_syntax_uid: str) -> str:
    """Return the name of a transfer syntax in PS3.6, or its UID if it is unknown."""
    uid = UID(transfer_syntax_uid)
    return _NAMES.get(uid, uid.name)
