from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import validate_file_meta
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLossless,
)

from dicom_node.errors import InvalidUid, UnreadableInstance
from dicom_node.storage.dataset_header import Header, Origin, file_start, read_header, read_origin

MakeCt = Callable[..., Dataset]
EXPECTED = Header(
    sop_class_uid="1.2.840.10008.5.1.4.1.1.2", sop_instance_uid="1.2.3.7", study_uid="1.2", series_uid="1.2.3"
)


def encoded(ct: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return the data set alone, as in a C-STORE."""
    del ct.file_meta
    file = BytesIO()
    ct.ensure_file_meta()
    ct.file_meta.TransferSyntaxUID = UID(syntax)
    ct.file_meta.MediaStorageSOPClassUID, ct.file_meta.MediaStorageSOPInstanceUID = UID("1.2"), UID("1.2")
    dcmwrite(file, ct, enforce_file_format=True)
    whole = file.getvalue()
    (meta_length,) = struct.unpack("<I", whole[140:144])
    return whole[144 + meta_length :]


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_the_uids_of_a_native_data_set_are_read(make_ct: MakeCt, syntax: str) -> None:
    assert read_header(encoded(make_ct(7), syntax), syntax) == EXPECTED


def test_the_uids_after_sequences_of_defined_and_undefined_length_are_read(make_ct: MakeCt) -> None:
    ct, item = make_ct(7), Dataset()
    item.SOPInstanceUID, item.StudyInstanceUID = "9.9", "9.8"
    for undefined, keyword in ((True, "ReferencedImageSequence"), (False, "SourceImageSequence")):
        setattr(ct, keyword, Sequence([item]))
        ct[keyword].is_undefined_length = undefined

    assert read_header(encoded(ct), ExplicitVRLittleEndian) == EXPECTED


def compressed(ct: Dataset) -> bytes:
    ct.PixelData = encapsulate([b"\1" * 200, b"\2" * 300])
    ct["PixelData"].is_undefined_length = True
    return encoded(ct, JPEGLossless)


def test_the_uids_of_a_compressed_data_set_are_read(make_ct: MakeCt) -> None:
    assert read_header(compressed(make_ct(7)), JPEGLossless) == EXPECTED


@pytest.mark.parametrize("lost", [1, 8, 9, 100, 400, 556])
def test_a_compressed_data_set_that_ends_too_early_cannot_be_read(make_ct: MakeCt, lost: int) -> None:
    with pytest.raises(UnreadableInstance):
        read_header(compressed(make_ct(7))[:-lost], JPEGLossless)


@pytest.mark.parametrize("lost", [2, 100, 2048, 2300])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_a_native_data_set_that_ends_too_early_cannot_be_read(make_ct: MakeCt, syntax: str, lost: int) -> None:
    whole = encoded(make_ct(7), syntax)

    with pytest.raises(UnreadableInstance):
        read_header(whole[: max(len(whole) - lost, 40)], syntax)


@pytest.mark.parametrize("keyword", ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_a_data_set_without_one_of_its_uids_cannot_be_read(make_ct: MakeCt, keyword: str) -> None:
    ct = make_ct(7)
    del ct[keyword]

    with pytest.raises(UnreadableInstance, match="has no"):
        read_header(encoded(ct), ExplicitVRLittleEndian)


@pytest.mark.parametrize("garbage", [b"", b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 4, b"\xff" * 500, b"\0" * 64])
def test_garbage_cannot_be_read(garbage: bytes) -> None:
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        with pytest.raises(UnreadableInstance):
            read_header(garbage, syntax)


def test_a_uid_with_a_path_is_invalid(make_ct: MakeCt) -> None:
    whole = encoded(make_ct(7)).replace(b"1.2.3.7\0", b"../../ab")

    with pytest.raises(InvalidUid):
        read_header(whole, ExplicitVRLittleEndian)


def test_the_error_message_has_no_patient_data(make_ct: MakeCt) -> None:
    with pytest.raises(UnreadableInstance) as raised:
        read_header(encoded(make_ct(7))[:-1], ExplicitVRLittleEndian)

    assert "SECRET" not in str(raised.value)


def test_the_file_meta_information_is_valid_for_pydicom(make_ct: MakeCt) -> None:
    origin = Origin(calling_ae_title="SENDER", is_fetched=True)
    file = BytesIO(file_start(EXPECTED, ExplicitVRLittleEndian, origin) + encoded(make_ct(7)))

    read = dcmread(file)

    assert read.file_meta.MediaStorageSOPClassUID == EXPECTED.sop_class_uid
    assert read.file_meta.MediaStorageSOPInstanceUID == EXPECTED.sop_instance_uid
    assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    validate_file_meta(read.file_meta)
    assert read_origin(read.file_meta) == origin
    assert read.file_meta.FileMetaInformationGroupLength + 144 == file.getvalue().index(b"\x08\0\x08\0CS")
    assert (read.pixel_array == make_ct(7).pixel_array).all()
