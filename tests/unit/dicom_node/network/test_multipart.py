from __future__ import annotations

from email import message_from_bytes
from email.policy import HTTP

import pytest

from dicom_node.network.multipart import MalformedBody, PartReader, write_parts

CONTENTS = [b"one\r\n--b", b"", b"\r\n--other--\r\n", bytes(range(256)) * 8]


def body() -> bytes:
    return b"".join(write_parts((iter([content]) for content in CONTENTS), "b0undary", "application/dicom"))


@pytest.mark.parametrize("chunk_bytes", [1, 2, 7, 64, 10_000])
@pytest.mark.parametrize("text", [body(), b"\r\n" + body() + b"\r\nepilogue"], ids=["plain", "with ends"])
def test_parts_are_the_same_however_the_body_is_cut(text: bytes, chunk_bytes: int) -> None:
    reader = PartReader(b"b0undary", 1 << 20)
    parts = [
        part for start in range(0, len(text), chunk_bytes) for part in reader.feed(text[start : start + chunk_bytes])
    ]

    assert [part.content for part in parts] == CONTENTS
    reader.require_end()


def test_python_reads_what_is_written() -> None:
    head = b"Content-Type: multipart/related; boundary=b0undary\r\n\r\n"
    parts = list(message_from_bytes(head + body(), policy=HTTP).iter_parts())

    assert [part.get_content_type() for part in parts] == ["application/dicom"] * len(CONTENTS)
    assert parts[0].get_payload(decode=True) == CONTENTS[0]


def test_a_part_that_is_too_long_is_not_kept() -> None:
    reader = PartReader(b"b0undary", 100)
    parts = reader.feed(body())

    assert [part.is_too_long for part in parts] == [False, False, False, True]
    assert parts[-1].content == b""


@pytest.mark.parametrize("text", [b"no boundary", b"--b0undary\r\nbad header\r\n\r\n", b"--b0undaryX"])
def test_a_body_that_is_no_multipart_message_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedBody, match="not a multipart message"):
        PartReader(b"b0undary", 100).feed(text)


def test_a_body_without_its_closing_boundary_is_refused() -> None:
    reader = PartReader(b"b0undary", 1 << 20)
    reader.feed(body()[:-6])

    with pytest.raises(MalformedBody, match="ends before its closing boundary"):
        reader.require_end()
