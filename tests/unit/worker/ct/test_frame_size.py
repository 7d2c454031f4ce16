"""The size that a compressed frame names, read before it is decoded."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000, UID, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from dicom_node.errors import SeriesRejected
from dicom_node.transfer_syntaxes import COMPRESSED, DEFLATED_FRAMES, ENCAPSULATED_UNCOMPRESSED, JPEG_XL
from tests.fixtures.encoded_ct import ENCODINGS, Encoding, grey_jpeg, jpeg_xl
from tests.fixtures.worker.ct_series import Series, save
from worker.ct.frame_size import FrameSize, UnreadableFrame, frame_size, is_too_long
from worker.ct.reader import load
from worker.ct.rejections import UndecodablePixels

ROWS, COLUMNS = 40, 49
WITHOUT_SIZE = (RLELossless, DEFLATED_FRAMES, ENCAPSULATED_UNCOMPRESSED)


@pytest.mark.parametrize(
    "encoding", [each for each in ENCODINGS if each.syntax in COMPRESSED], ids=lambda encoding: encoding.name
)
def test_the_size_is_that_of_the_encoded_image(encoding: Encoding, tmp_path: Path) -> None:
    file = save(Series(rows=ROWS, columns=COLUMNS, slices=1).images(), tmp_path)[0]
    encoding.encode(file)
    (frame,) = generate_frames(pydicom.dcmread(file).PixelData, number_of_frames=1)

    expected = None if encoding.syntax in WITHOUT_SIZE else FrameSize(rows=ROWS, columns=COLUMNS)
    assert frame_size(frame, encoding.syntax) == expected
    assert not is_too_long(frame, encoding.syntax, ROWS * COLUMNS)


@pytest.mark.parametrize(("rows", "columns"), [(8, 8), (256, 256), (300, 400), (1000, 500), (520, 9000), (8200, 5)])
def test_jpeg_xl_writes_lengths_and_ratios_in_several_ways(rows: int, columns: int) -> None:
    pixels = np.zeros((rows, columns), np.uint8)
    for encoded in (jpeg_xl(pixels, lossless=True), jpeg_xl(pixels, lossless=True, usecontainer=True)):
        assert frame_size(bytes(encoded), JPEG_XL) == FrameSize(rows=rows, columns=columns)


def test_jpeg_2000_in_boxes_and_with_an_offset_is_read() -> None:
    pixels = np.zeros((ROWS, COLUMNS), np.uint8)
    boxed = bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="jp2"))
    assert boxed[4:8] == b"jP  "
    assert frame_size(boxed, JPEG2000Lossless) == FrameSize(rows=ROWS, columns=COLUMNS)

    stream = bytearray(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k"))
    stream[8:24] = b"".join(value.to_bytes(4, "big") for value in (COLUMNS + 7, ROWS + 3, 7, 3))
    assert frame_size(bytes(stream), JPEG2000Lossless) == FrameSize(rows=ROWS, columns=COLUMNS)


def test_frames_without_a_readable_header_are_refused() -> None:
    jpeg = grey_jpeg(np.zeros((16, 16), np.uint8))
    start = jpeg.index(b"\xff\xc0")
    twice = jpeg[:start] + b"\xff\xc0\0\x0b\x08\xff\xff\xff\xff\x01\x01\x11\0" + jpeg[start:]
    codestream = bytearray(imagecodecs.jpeg2k_encode(np.zeros((80, 80), np.uint8), codecformat="j2k"))
    codestream[24:32] = (1).to_bytes(4, "big") * 2
    damaged: list[tuple[bytes, UID]] = [
        (b"", JPEGBaseline8Bit),
        (b"\xff\xd8", JPEGBaseline8Bit),
        (jpeg[: start + 5], JPEGBaseline8Bit),
        (twice, JPEGBaseline8Bit),
        (b"\0" * 100, JPEG2000),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\0" * 10, JPEG2000),
        (bytes(codestream), JPEG2000),
        (b"\xff\x4f\xff\x51\0", JPEG2000),
        (b"\xff\xd8" + b"\xff\xe0\0\2" * 100_000, JPEGLSLossless),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0\0\0\x08jxly" * 100_000, JPEG_XL),
        (b"not JPEG XL", JPEG_XL),
    ]
    for frame, syntax in damaged:
        with pytest.raises(UnreadableFrame):
            frame_size(frame, syntax)


def test_an_rle_frame_that_would_grow_beyond_its_image_is_too_long() -> None:
    header = (2).to_bytes(4, "little") + bytes(60)
    assert is_too_long(header + b"\x81\0" * 10_000, RLELossless, 32 * 32)
    assert not is_too_long(header + bytes(2 * 33 * 32), RLELossless, 32 * 32)


def test_a_frame_of_another_size_is_refused_without_being_decoded(tmp_path: Path) -> None:
    files = save(Series(rows=ROWS, columns=COLUMNS, slices=3).images(), tmp_path)
    encoding = next(each for each in ENCODINGS if each.syntax == JPEGBaseline8Bit)
    for file in files:
        encoding.encode(file)
    content = files[1].read_bytes()
    at = content.index(b"\xff\xc0") + 5
    files[1].write_bytes(content[:at] + b"\x07\xd0\x0b\xb8" + content[at + 4 :])

    with pytest.raises(SeriesRejected) as refused:
        load(files)
    assert isinstance(refused.value, UndecodablePixels)
    assert "its frame has 2000 rows and 3000 columns of 1 component(s), the header 40 and 49 of 1" in str(refused.value)
