"""Reads the UIDs of an encoded data set, sees whether all of it came, and writes what stands before it in a file.

Decodes nothing else, least of all pixels.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataelem import RawDataElement
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag, Tag
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, UID, DeflatedExplicitVRLittleEndian

from dicom_node.errors import UnreadableInstance
from dicom_node.storage.spool import checked_uid

_NAMES = {
    Tag("SOPClassUID"): "sop_class_uid",
    Tag("SOPInstanceUID"): "sop_instance_uid",
    Tag("StudyInstanceUID"): "study_uid",
    Tag("SeriesInstanceUID"): "series_uid",
}
_PIXEL_DATA = Tag("PixelData")
_UNDEFINED_LENGTH = 0xFFFFFFFF
_ITEM, _SEQUENCE_DELIMITER = 0xE000FFFE, 0xE0DDFFFE
"""(FFFE,E000) and (FFFE,E0DD), each read as one little endian number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The UIDs that say what an instance is and where it belongs."""

    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str


def read_header(encoded: bytes | memoryview, transfer_syntax_uid: str) -> Header:
    """Return the UIDs of an encoded data set.

    Raises UnreadableInstance when it cannot be read, lacks one of them or ends too early; InvalidUid when one is none.
    """
    syntax = UID(transfer_syntax_uid)
    try:
        if syntax == DeflatedExplicitVRLittleEndian:
            encoded = zlib.decompress(encoded, -zlib.MAX_WBITS)
        found = _walk(encoded, syntax)
    except (zlib.error, struct.error, ValueError, EOFError, OSError, NotImplementedError, LookupError, TypeError) as e:
        # The library's message may quote values: only its kind is told.
        raise UnreadableInstance(f"a data set of {len(encoded)} bytes cannot be read ({type(e).__name__})") from None
    missing = [name for name in _NAMES.values() if not found.get(name)]
    if missing:
        raise UnreadableInstance(f"a data set of {len(encoded)} bytes has no {missing[0]}")
    return Header(**{name: checked_uid(uid) for name, uid in found.items()})


def file_start(header: Header, transfer_syntax_uid: str) -> bytes:
    """Return preamble and file meta information (PS3.10 7.1) of an instance, to be written before its data set."""
    elements = b"".join(
        [
            struct.pack("<HH2sHI2s", 2, 0x0001, b"OB", 0, 2, b"\0\1"),
            _meta_element(0x0002, b"UI", header.sop_class_uid),
            _meta_element(0x0003, b"UI", header.sop_instance_uid),
            _meta_element(0x0010, b"UI", transfer_syntax_uid),
            _meta_element(0x0012, b"UI", PYDICOM_IMPLEMENTATION_UID),
            _meta_element(0x0013, b"SH", "LUNGSPREAD"),
        ]
    )
    return b"\0" * 128 + b"DICM" + struct.pack("<HH2sHI", 2, 0, b"UL", 4, len(elements)) + elements


def _meta_element(element: int, vr: bytes, text: str) -> bytes:
    value = text.encode("ascii")
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HH2sH", 2, element, vr, len(value)) + value


@dataclass(slots=True)
class _Progress:
    """What the reader met last; it stops at the pixels."""

    stream: BytesIO
    pixels_length: int | None = None
    end: int | None = 0
    """Where the last element ends, as far as that is known."""

    def is_at_pixels(self, tag: BaseTag, _vr: str | None, length: int) -> bool:
        """Answer the reader whether to stop before this element."""
        self.end = None if length == _UNDEFINED_LENGTH else self.stream.tell() + length
        if tag != _PIXEL_DATA:
            return False
        self.pixels_length = length
        return True


def _walk(encoded: bytes | memoryview, syntax: UID) -> dict[str, str]:
    """Go through all elements, and return the UIDs. Raises EOFError when the end is missing."""
    stream, found = BytesIO(encoded), {}
    progress = _Progress(stream)
    for element in data_element_generator(
        stream, syntax.is_implicit_VR, syntax.is_little_endian, progress.is_at_pixels, specific_tags=list(_NAMES)
    ):
        if isinstance(element, RawDataElement) and element.tag in _NAMES:
            found[_NAMES[element.tag]] = (element.value or b"").decode("ascii").strip(" \0")
    if progress.pixels_length is None:
        is_whole = progress.end in (None, len(encoded))
    else:
        stream.seek(8 if syntax.is_implicit_VR else 12, 1)  # PS3.5 7.1: OB and OW have a long explicit header
        _skip_pixels(stream, progress.pixels_length)
        is_whole = stream.tell() <= len(encoded)  # padding behind the pixels is allowed
    if not is_whole:
        raise EOFError
    return found


def _skip_pixels(stream: BytesIO, length: int) -> None:
    if length != _UNDEFINED_LENGTH:
        stream.seek(length, 1)
        return
    while True:  # PS3.5 A.4: items, and a delimiter behind the last one
        tag, item_length = struct.unpack("<II", stream.read(8))
        stream.seek(item_length, 1)
        if tag == _SEQUENCE_DELIMITER:
            return
        if tag != _ITEM:
            raise EOFError
