"""Rows, columns and components that a compressed frame says it has, read from its own header without decoding it.

A decoder makes an image as large as that header says: 65,535 x 65,535 pixels take 6 GB, from a frame of 4 KB.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import UID, RLELossless

from dicom_node.transfer_syntaxes import COMPRESSED, JPEG_XL, JPEG_XL_LOSSLESS, JPEG_XL_RECOMPRESSION

MOST_VOXELS = 1 << 30
"""Of a volume: 1,024 images of 1,024 x 1,024 pixels, or 4,096 of 512 x 512; 4 GiB as Hounsfield units."""

_JPEG_2000_FAMILY = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91, 201, 202, 203))
_JPEG_FAMILY = tuple(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81))
_JPEG_XL_FAMILY = (JPEG_XL_LOSSLESS, JPEG_XL_RECOMPRESSION, JPEG_XL)

_START_OF_SCAN = 0xDA
_MOST_SEGMENTS = 4096
"""Before the image, in JPEG and in the boxes around JPEG 2000 and JPEG XL; there are ten or so."""
_STARTS_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""ISO/IEC 10918-1 table B.1, without DHT, JPG and DAC; 0xF7 is that of JPEG-LS (ISO/IEC 14495-1 C.1.1)."""
_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xDA), 0xFF}
"""Markers that stand alone, and bytes that are no marker."""
_SIZ = b"\xff\x4f\xff\x51"
"""Start of a JPEG 2000 codestream and of its SIZ segment (ISO/IEC 15444-1 A.4.1, A.5.1)."""
_SMALLEST_TILE = 64
"""Rows or columns. Decoders keep some kilobytes for each tile; images have one, or tiles of 128 and more."""
_JPEG_XL_START, _JPEG_XL_BOXES = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
"""Width to height of a JPEG XL codestream (ISO/IEC 18181-1, size header)."""
_LONGEST_RLE = 2
"""Most encoded bytes of a segment for each of its bytes; without any run it is 129 / 128 (PS3.5 G.3.1)."""


class UnreadableFrame(ValueError):  # noqa: N818 - named for the fact
    """The header of a frame cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSize:
    """The size of a compressed frame."""

    rows: int
    columns: int
    components: int = 1


def frame_size(frame: bytes, syntax: UID) -> FrameSize | None:
    """Return the size that a frame names; None in transfer syntaxes whose frames name none. Raises UnreadableFrame."""
    try:
        if syntax in _JPEG_FAMILY:
            return _jpeg(frame)
        if syntax in _JPEG_2000_FAMILY:
            return _jpeg_2000(_codestream(frame, b"jp2c") if frame[4:8] == b"jP  " else frame)
        if syntax in _JPEG_XL_FAMILY:
            return _jpeg_xl(frame)
    except (struct.error, IndexError):
        raise UnreadableFrame("its header is cut off") from None
    return None


def check_frames(image: Dataset) -> None:
    """Raise UnreadableFrame if the frames of an object are too many, or have another size than its header says.

    image: with its pixel data; that of native frames is as long as it is.
    """
    rows, columns, frames = int(image.Rows), int(image.Columns), int(image.get("NumberOfFrames") or 1)
    syntax = UID(image.file_meta.TransferSyntaxUID)
    if rows * columns * frames > MOST_VOXELS:
        raise UnreadableFrame(f"it has {rows * columns * frames} pixels (limit {MOST_VOXELS})")
    if syntax not in COMPRESSED:
        return
    for frame in generate_frames(image.PixelData, number_of_frames=frames):
        size = frame_size(frame, syntax) or FrameSize(rows=rows, columns=columns)
        if (size.rows, size.columns) != (rows, columns) or is_too_long(frame, syntax, rows * columns):
            raise UnreadableFrame(f"a frame has another size than {rows} x {columns}")


def is_too_long(frame: bytes, syntax: UID, pixels: int) -> bool:
    """Return whether an RLE frame has more bytes than segments of so many pixels can have; one byte may become 64."""
    if syntax != RLELossless:
        return False
    segments = int.from_bytes(frame[:4], "little")
    return len(frame) > 64 + min(segments, 15) * (_LONGEST_RLE * pixels + 2)


def _jpeg(frame: bytes) -> FrameSize:
    """Return the size of the one frame header before the first scan."""
    if frame[:2] != b"\xff\xd8":
        raise UnreadableFrame("it does not begin as JPEG")
    found = {
        FrameSize(rows=rows, columns=columns, components=components)
        for marker, at in _segments(frame)
        if marker in _STARTS_OF_FRAME
        for rows, columns, components in [struct.unpack_from(">HHB", frame, at + 3)]
    }
    if len(found) != 1:
        raise UnreadableFrame(f"it has {len(found)} frame headers")
    return found.pop()


def _segments(frame: bytes) -> Iterator[tuple[int, int]]:
    """Yield the marker of each segment before the first scan, and where its length is."""
    at = 2
    for _ in range(_MOST_SEGMENTS):
        at = frame.find(b"\xff", at) + 1  # as decoders do, which pass what is between two segments
        if not at:
            break
        marker = frame[at]
        if marker == _START_OF_SCAN:
            return
        if marker in _WITHOUT_LENGTH:
            continue
        yield marker, at + 1
        at += 1 + int(struct.unpack_from(">H", frame, at + 1)[0])
    raise UnreadableFrame("it has no scan")


def _jpeg_2000(codestream: bytes) -> FrameSize:
    if codestream[:4] != _SIZ:
        raise UnreadableFrame("it does not begin as JPEG 2000")
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", codestream, 8)
    (components,) = struct.unpack_from(">H", codestream, 40)
    rows, columns = bottom - top, right - left
    if tile_height < min(rows, _SMALLEST_TILE) or tile_width < min(columns, _SMALLEST_TILE):
        raise UnreadableFrame(f"its tiles are smaller than {_SMALLEST_TILE} pixels")
    return FrameSize(rows=rows, columns=columns, components=components)


def _codestream(frame: bytes, kind: bytes) -> bytes:
    """Return the content of the first box of a kind (ISO/IEC 15444-1 I.4); JPEG XL has the same boxes."""
    at = 0
    for _ in range(_MOST_SEGMENTS):
        length, found = struct.unpack_from(">I4s", frame, at)
        start = at + 8
        if length == 1:
            (length,) = struct.unpack_from(">Q", frame, start)
            start += 8
        if found == kind:
            return frame[start : at + length if length else None]
        if length < start - at:
            break
        at += length
    raise UnreadableFrame("it has no codestream")


def _jpeg_xl(frame: bytes) -> FrameSize:
    if frame.startswith(_JPEG_XL_BOXES):
        is_in_parts = b"jxlp" in frame and b"jxlc" not in frame
        frame = _codestream(frame, b"jxlp")[4:] if is_in_parts else _codestream(frame, b"jxlc")
    if frame[:2] != _JPEG_XL_START:
        raise UnreadableFrame("it does not begin as JPEG XL")
    bits = _Bits(frame[2:14])
    is_small = bits.take(1) == 1
    rows = _jpeg_xl_length(bits, is_small=is_small)
    ratio = bits.take(3)
    width, height = _RATIOS.get(ratio, (1, 1))
    columns = rows * width // height if ratio else _jpeg_xl_length(bits, is_small=is_small)
    return FrameSize(rows=rows, columns=columns)


def _jpeg_xl_length(bits: _Bits, *, is_small: bool) -> int:
    if is_small:
        return 8 * (bits.take(5) + 1)
    return bits.take((9, 13, 18, 30)[bits.take(2)]) + 1


class _Bits:
    """Numbers of some bits each, the lowest first."""

    def __init__(self, encoded: bytes) -> None:
        self._left = int.from_bytes(encoded, "little")

    def take(self, count: int) -> int:
        value = self._left & ((1 << count) - 1)
        self._left >>= count
        return value
