"""Reads the UIDs of an encoded data set, checks that it is complete, and encodes its file meta information.

No other element is decoded, above all no pixel data.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from io import BytesIO
from typing import BinaryIO, cast

from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import data_element_generator
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from dicom_node.bounded_reading import EncodedStream, InflatedStream
from dicom_node.dicom_file import DAMAGE, read_file, value_of
from dicom_node.errors import UnreadableInstance
from dicom_node.patient import NAMED_BY
from dicom_node.storage.encoded_file import Encoded, header_of, pieces_of
from dicom_node.storage.spool import checked_uid

_NAMES = {
    Tag("SOPClassUID"): "sop_class_uid",
    Tag("SOPInstanceUID"): "sop_instance_uid",
    Tag("StudyInstanceUID"): "study_uid",
    Tag("SeriesInstanceUID"): "series_uid",
}
_NAMED_BY = tuple(Tag(keyword) for keyword in NAMED_BY)
_READ: list[BaseTag | int] = [*_NAMES, *_NAMED_BY]
_MOST_NAMING = 1024
"""Bytes of an element of the patient that are kept; PS3.5 table 6.2-1 allows 64 characters in each part of a name."""
_PIXEL_DATA = Tag("PixelData")
_FETCHED_CREATOR = "2.25.253711896403247011870562158210948473615"
"""Private Information Creator UID of an instance that we requested (PS3.10 table 7.1-1)."""
_FETCHED = b"FETCHED "
_PREAMBLE = b"\0" * 128 + b"DICM"
_GROUP_LENGTH = 12
"""Bytes of the element (0002,0000), the first of the file meta information (PS3.10 7.1)."""
_MOST_META = 1 << 16
"""Bytes of the rest of the file meta information; it has some hundred."""
_UNDEFINED_LENGTH = 0xFFFFFFFF
DECODING_ERRORS = (UnreadableInstance, *DAMAGE, OSError)
"""What is raised on bytes that are not DICOM where no file is read: OSError is a sequence without items."""
_ITEM, _SEQUENCE_DELIMITER = 0xE000FFFE, 0xE0DDFFFE
"""(FFFE,E000) and (FFFE,E0DD), each as one little endian number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The UIDs of an instance, its SOP class, its study and its series, and its patient."""

    sop_class_uid: str
    sop_instance_uid: str
    study_uid: str
    series_uid: str
    patient: tuple[bytes, ...] = field(default=(), repr=False, compare=False)
    """The encoded elements `patient.NAMED_BY`; empty bytes where there is none."""


def read_header(encoded: Encoded, transfer_syntax_uid: str) -> Header:
    """Return the UIDs and the patient of an encoded data set.

    Raises UnreadableInstance if it cannot be read, lacks a UID, is truncated or exceeds a limit of `bounded_reading`;
    InvalidUid if a UID is not valid.
    """
    try:
        found = _read_elements(encoded, UID(transfer_syntax_uid))
    except DECODING_ERRORS as error:
        # The library's message may quote values, so only the type of the error is reported.
        reason = type(error).__name__
        raise UnreadableInstance(f"a data set of {len(encoded)} bytes cannot be read ({reason})") from None
    missing = [name for tag, name in _NAMES.items() if not found.get(tag)]
    if missing:
        raise UnreadableInstance(f"a data set of {len(encoded)} bytes has no {missing[0]}")
    uids = {name: checked_uid(found[tag].decode("ascii", "replace").strip(" \0")) for tag, name in _NAMES.items()}
    return Header(**uids, patient=tuple(found.get(tag, b"") for tag in _NAMED_BY))


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a file in the inbox came from; its file meta information says so, too."""

    calling_ae_title: str
    is_fetched: bool
    """Whether we requested it."""


def file_start(header: Header, transfer_syntax_uid: str, origin: Origin) -> bytes:
    """Return the preamble and file meta information of an instance (PS3.10 7.1), which precede its data set.

    It holds the origin, so that the journal's row can be made again from the file alone.
    """
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = UID(header.sop_class_uid)
    meta.MediaStorageSOPInstanceUID = UID(header.sop_instance_uid)
    meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    meta.ImplementationVersionName = "LUNGSPREAD"
    meta.SourceApplicationEntityTitle = origin.calling_ae_title
    if origin.is_fetched:
        meta.PrivateInformationCreatorUID, meta.PrivateInformation = UID(_FETCHED_CREATOR), _FETCHED
    encoded = DicomBytesIO()
    write_file_meta_info(encoded, meta)
    return _PREAMBLE + encoded.getvalue()


def split_file(file: bytes) -> tuple[FileMetaDataset, memoryview]:
    """Return the file meta information of a DICOM file and its encoded data set. Raises UnreadableInstance."""
    start = len(_PREAMBLE) + _GROUP_LENGTH
    length = int.from_bytes(file[start - 4 : start], "little")
    try:
        # Without the data set, which may have to be inflated.
        meta = read_file(BytesIO(file[: start + min(length, _MOST_META)])).file_meta
        is_told = int(meta.FileMetaInformationGroupLength) == length <= _MOST_META
    except DECODING_ERRORS as error:
        raise UnreadableInstance(f"a file of {len(file)} bytes is not DICOM ({type(error).__name__})") from None
    if not is_told:
        raise UnreadableInstance(f"a file of {len(file)} bytes does not begin with the length of its meta information")
    return meta, memoryview(file)[start + length :]


def read_origin(file_meta: FileMetaDataset) -> Origin:
    """Return the origin that `file_start` wrote."""
    is_fetched = value_of(file_meta, "PrivateInformationCreatorUID") == _FETCHED_CREATOR
    return Origin(
        calling_ae_title=str(value_of(file_meta, "SourceApplicationEntityTitle") or ""), is_fetched=is_fetched
    )


@dataclass(slots=True)
class _Progress:
    """The position of the reader, which stops at the pixel data."""

    stream: EncodedStream | InflatedStream
    pixel_data_length: int | None = None
    end: int | None = 0
    """Offset of the end of the last element; None if its length is undefined."""

    def is_at_pixels(self, tag: BaseTag, _vr: str | None, length: int) -> bool:
        """Return whether the reader stops before this element."""
        self.end = None if length == _UNDEFINED_LENGTH else self.stream.tell() + length
        if tag != _PIXEL_DATA:
            return False
        self.pixel_data_length = length
        return True


def _read_elements(encoded: Encoded, syntax: UID) -> dict[BaseTag, bytes]:
    """Read all elements, and return those that are needed. Raises EOFError if the data set is truncated."""
    stream = _opened(encoded, syntax)
    found: dict[BaseTag, bytes] = {}
    is_implicit = syntax == ImplicitVRLittleEndian  # pydicom's own property is an error for a syntax it does not know
    progress = _Progress(stream)
    for element in data_element_generator(
        cast(BinaryIO, stream), is_implicit, syntax != ExplicitVRBigEndian, progress.is_at_pixels, specific_tags=_READ
    ):
        if isinstance(element, RawDataElement) and isinstance(element.value, bytes):
            found[element.tag] = element.value[:_MOST_NAMING]
    if progress.pixel_data_length is None:
        is_complete = stream.reaches(stream.tell()) if progress.end is None else stream.ends_at(progress.end)
    else:
        stream.seek(8 if is_implicit else 12, 1)  # PS3.5 7.1: the explicit header of OB and OW has 12 bytes
        _skip_pixel_data(stream, progress.pixel_data_length)
        is_complete = stream.reaches(stream.tell())  # padding after the pixel data is allowed
    if not is_complete:
        raise EOFError
    return found


def _opened(encoded: Encoded, syntax: UID) -> EncodedStream | InflatedStream:
    if syntax == DeflatedExplicitVRLittleEndian:
        return InflatedStream(pieces_of(encoded), len(encoded))
    return EncodedStream(header_of(encoded), len(encoded))


def _skip_pixel_data(stream: EncodedStream | InflatedStream, length: int) -> None:
    if length != _UNDEFINED_LENGTH:
        stream.seek(length, 1)
        return
    while True:  # PS3.5 A.4: items, and a delimiter after the last one
        tag, item_length = struct.unpack("<II", stream.read(8))
        stream.seek(item_length, 1)
        if tag == _SEQUENCE_DELIMITER:
            return
        if tag != _ITEM:
            raise EOFError
