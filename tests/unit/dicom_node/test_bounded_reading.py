"""Limits of what is read: bytes inflated, and elements."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from dicom_node import bounded_reading
from dicom_node.bounded_reading import ALWAYS_INFLATED, InflatedStream, TooLong, inflate, most_inflated
from dicom_node.dicom_file import read_file
from dicom_node.errors import UnreadableInstance
from dicom_node.storage.dataset_header import read_header
from tests.conftest import make_ct_instance

_MB = 1 << 20


def deflated(content: bytes, *repeated: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return b"".join([packer.compress(content), *map(packer.compress, repeated), packer.flush()])


def inflated(encoded: bytes) -> InflatedStream:
    """The stream of a data set in two pieces."""
    return InflatedStream([encoded[:1000], encoded[1000:]], len(encoded))


def uids() -> bytes:
    """The elements of a data set up to its UIDs."""
    buffer = BytesIO()
    image = make_ct_instance(1, size=4)
    del image.PixelData
    image.save_as(buffer, enforce_file_format=True)
    file = buffer.getvalue()
    return file[144 + int.from_bytes(file[140:144], "little") :]


def bomb(zeros_mb: int) -> bytes:
    """A data set whose private element has so many zeros."""
    length = zeros_mb * _MB
    header = b"\xe1\x7f\x10\x10OB\0\0" + length.to_bytes(4, "little")
    return deflated(uids() + header, *[bytes(_MB)] * zeros_mb)


def file_of(data_set: bytes, syntax: str) -> BytesIO:
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    meta = b"\2\0\x10\0UI" + len(uid).to_bytes(2, "little") + uid
    length = len(meta).to_bytes(4, "little")
    return BytesIO(b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0" + length + meta + data_set)


def test_a_stream_inflates_what_zlib_does_and_reads_it_in_any_pieces() -> None:
    chance = random.Random(1)
    content = b"".join(chance.randbytes(40) * chance.randrange(1, 200) for _ in range(400))
    stream, at = inflated(deflated(content)), 0
    while at < len(content):
        step = chance.randrange(1, 9000)
        if chance.random() < 0.3:
            stream.seek(step, 1)
        else:
            assert stream.read(step) == content[at : at + step]
        at = stream.tell()
        if chance.random() < 0.3:
            back = chance.randrange(min(at, 4000) + 1)
            stream.seek(at - back)
            at -= back
    assert stream.read(8) == b""
    assert stream.ends_at(len(content))
    assert not inflated(deflated(content)).reaches(len(content) + 1)


def test_a_deflated_data_set_that_is_cut_off_is_noticed() -> None:
    encoded = deflated(random.Random(1).randbytes(100_000))
    with pytest.raises(zlib.error):
        inflated(encoded[:-50]).reaches(5)
    with pytest.raises(zlib.error):
        inflate(encoded[:-50])


def test_as_much_is_inflated_as_a_ct_needs_and_no_more() -> None:
    assert most_inflated(10) == ALWAYS_INFLATED
    assert most_inflated(_MB) == 100 * _MB
    assert most_inflated(1 << 40) == 1 << 30


@pytest.mark.parametrize("read", [lambda bomb: read_header(bomb, DeflatedExplicitVRLittleEndian),
                                  lambda bomb: read_file(file_of(bomb, DeflatedExplicitVRLittleEndian)),
                                  lambda bomb: dcmread(file_of(bomb, DeflatedExplicitVRLittleEndian))],
                         ids=["received", "read from a file", "by pydicom itself"])  # fmt: skip
def test_a_bomb_of_zeros_is_unreadable_everywhere_and_takes_little_memory(read) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    encoded = bomb(80)
    assert len(encoded) < _MB // 8
    tracemalloc.start()
    with pytest.raises((UnreadableInstance, TooLong)):
        read(encoded)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 3 * ALWAYS_INFLATED


def test_the_header_of_a_large_deflated_object_is_read_in_little_memory() -> None:
    encoded = bomb(60)
    tracemalloc.start()
    assert read_header(encoded, DeflatedExplicitVRLittleEndian).series_uid == "1.2.3"
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2 * _MB


def test_more_elements_than_any_object_has_are_unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_reading, "MOST_READS", 10_000)
    tiny = b"".join(b"\xe1\x7f" + number.to_bytes(2, "little") + b"LO\0\0" for number in range(0x1000, 0x1000 + 11_000))
    nested = b"\xe1\x7f\x10\x10SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff" + tiny
    for data_set in (uids() + tiny, uids() + nested + b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"):
        with pytest.raises(UnreadableInstance, match="TooManyElements"):
            read_header(data_set, ExplicitVRLittleEndian)
        with pytest.raises(UnreadableInstance, match="TooManyElements"):
            read_header(deflated(data_set), DeflatedExplicitVRLittleEndian)
        with pytest.raises(UnreadableInstance, match="TooManyElements"):
            read_file(file_of(data_set, ExplicitVRLittleEndian))


def test_sequences_in_sequences_without_end_are_unreadable() -> None:
    level = b"\xe1\x7f\x10\x10SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    for depth in (1_000, 20_000):
        with pytest.raises(UnreadableInstance):
            read_header(uids() + level * depth, ExplicitVRLittleEndian)
        with pytest.raises(UnreadableInstance):
            read_file(file_of(uids() + level * depth, ExplicitVRLittleEndian))
