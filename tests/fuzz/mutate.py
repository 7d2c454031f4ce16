"""Seeded mutations of bytes, and of encoded DICOM data sets."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import cache

from tests.fixtures.damaged_headers import CHARACTER_SETS, LONG_VRS, TEXTS, VRS

_INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000,
                0xFFFFFFFE, 0xFFFFFFFF)  # fmt: skip
_FORMATS = ("B", "<H", ">H", "<I", ">I")
_HEAD = 2048
"""Half of the mutations of bytes are within the first so many: there are the headers."""
_DEPTH = 3000
"""Of sequences within sequences."""
_BOMB_BYTES, _BLOCK_BYTES = 1 << 30, 1 << 20

Mutation = Callable[[bytearray, random.Random, Sequence[bytes]], None]


def mutated(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Return the bytes after one to four mutations. others: inputs that parts may come from."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        rng.choice(_OF_BYTES)(changed, rng, others)
    return bytes(changed)


def mutated_data_set(data: bytes, rng: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Return an encoded data set (explicit VR little endian) after mutations of its elements or of its bytes."""
    if rng.random() < 0.4:
        return mutated(data, rng, others)
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3))):
        rng.choice(_OF_ELEMENTS)(changed, rng, others)
    return bytes(changed)


@cache
def bomb() -> bytes:
    """Return a deflated stream of a megabyte that inflates to a gigabyte."""
    packer = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
    block = packer.compress(bytes(_BLOCK_BYTES)) + packer.flush(zlib.Z_FULL_FLUSH)  # which can be repeated
    return block * (_BOMB_BYTES // _BLOCK_BYTES) + packer.flush()


def _place(data: bytearray, rng: random.Random) -> int:
    return rng.randrange(max(1, min(len(data), _HEAD) if rng.random() < 0.5 else len(data)))


def _span(data: bytearray, rng: random.Random) -> slice:
    start = _place(data, rng)
    return slice(start, start + rng.choice((1, 2, 4, 8, 16, 64, 256)))


def _flip(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    if data:
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _set_number(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    form = rng.choice(_FORMATS)
    size = struct.calcsize(form)
    value = rng.choice(_INTERESTING) & ((1 << 8 * size) - 1)
    at = _place(data, rng)
    data[at : at + size] = struct.pack(form, value)


def _remove(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    del data[_span(data, rng)]


def _repeat(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    span = _span(data, rng)
    data[span.start : span.start] = bytes(data[span]) * rng.choice((1, 2, 3, 64))


def _insert(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at = _place(data, rng)
    data[at:at] = rng.choice((rng.randbytes(rng.randrange(1, 40)), rng.choice(TEXTS), bytes(64), b"\xff" * 16))


def _cut(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    del data[_place(data, rng) :]


def _overwrite(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    span = _span(data, rng)
    data[span] = rng.randbytes(len(data[span]))


def _splice(data: bytearray, rng: random.Random, others: Sequence[bytes]) -> None:
    if others:
        other = rng.choice(others)
        start = rng.randrange(max(1, len(other)))
        data[_span(data, rng)] = other[start : start + rng.choice((8, 64, 512, len(other)))]


def _swap(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    first, second = _span(data, rng), _span(data, rng)
    if first.stop <= second.start:
        data[first], data[second] = bytes(data[second]), bytes(data[first])


_OF_BYTES: tuple[Mutation, ...] = (
    _flip, _flip, _set_number, _set_number, _remove, _repeat, _insert, _cut, _overwrite, _splice, _swap,
)  # fmt: skip


def elements(data: bytes | bytearray) -> list[tuple[int, int, int]]:
    """Return offset, offset of the value and end of each element, as far as they can be read (PS3.5 7.1.2)."""
    found, at = [], 0
    while at + 8 <= len(data):
        is_long = bytes(data[at + 4 : at + 6]).decode("latin-1") in LONG_VRS
        value = at + (12 if is_long else 8)
        length = int.from_bytes(data[value - (4 if is_long else 2) : value], "little")
        if length == 0xFFFFFFFF or value + length > len(data):
            break
        found.append((at, value, value + length))
        at = value + length
    return found


def element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """Return an encoded element; `length` is what it says of its length."""
    size = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode("latin-1")
    if vr in LONG_VRS:
        return head + struct.pack("<HI", 0, size & 0xFFFFFFFF) + value
    return head + struct.pack("<H", size & 0xFFFF) + value


def _one(data: bytearray, rng: random.Random) -> tuple[int, int, int]:
    return rng.choice(elements(data) or [(0, 0, len(data))])


def _set_length(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at, value, _end = _one(data, rng)
    size = 4 if value - at == 12 else 2
    data[value - size : value] = (rng.choice(_INTERESTING) & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def _set_vr(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at = _one(data, rng)[0]
    data[at + 4 : at + 6] = rng.choice(VRS).encode()


def _set_value(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at, value, end = _one(data, rng)
    new = rng.choice((rng.choice(TEXTS), rng.choice(CHARACTER_SETS), rng.randbytes(8), b"65535 ", b"\xff\xff", b""))
    vr = bytes(data[at + 4 : at + 6]).decode("latin-1")
    tag = int.from_bytes(data[at : at + 2], "little") << 16 | int.from_bytes(data[at + 2 : at + 4], "little")
    data[at:end] = element(tag, vr, new) if value > at else new


def _remove_element(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at, _value, end = _one(data, rng)
    del data[at:end]


def _repeat_element(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at, _value, end = _one(data, rng)
    data[at:at] = bytes(data[at:end]) * rng.choice((1, 2, 100))


def _move_element(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at, _value, end = _one(data, rng)
    moved = bytes(data[at:end])
    del data[at:end]
    to = _one(data, rng)[0]
    data[to:to] = moved


def _nest(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    """Insert sequences of undefined length, each in an item of the one before."""
    at = _one(data, rng)[0]
    level = element(0x00081140, "SQ", b"", 0xFFFFFFFF) + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    data[at:at] = level * rng.choice((2, 50, _DEPTH))


def _insert_element(data: bytearray, rng: random.Random, _: Sequence[bytes]) -> None:
    at = _one(data, rng)[0]
    tag = rng.choice((0x00080005, 0x00280008, 0x00280010, 0x00280011, 0x00091001, 0x7FE00010, 0xFFFEE000, 0x00020010))
    data[at:at] = element(tag, rng.choice(VRS), rng.choice((rng.choice(TEXTS), rng.randbytes(20), b"\xff\xff")))


_OF_ELEMENTS: tuple[Mutation, ...] = (
    _set_length, _set_length, _set_vr, _set_value, _set_value, _set_value, _remove_element, _repeat_element,
    _move_element, _nest, _insert_element,
)  # fmt: skip
