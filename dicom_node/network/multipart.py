"""Multipart messages (RFC 2046, PS3.18 8.6.1.2): parts read from a stream, and files written as parts."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, MultipartState

MOST_INSTANCE_BYTES = 1 << 30
"""The content of a longer part is not kept."""
_CHUNK_BYTES = 1 << 18


class MalformedBody(Exception):  # noqa: N818 - the names say what the caller must do
    """A request body, or its Content-Type, is not a multipart message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a message."""

    content: bytes
    """Empty if it is too long."""
    is_too_long: bool


class PartReader:
    """Reads the parts of a message chunk by chunk; only the part that is being read is in memory."""

    def __init__(self, boundary: bytes, most_bytes: int) -> None:
        """most_bytes: the content of a longer part is not kept."""
        self._most_bytes = most_bytes
        self._content = bytearray()
        self._is_too_long = False
        self._finished = list[Part]()
        self._parser = _parser(boundary)
        self._parser.set_callback("part_data", self._on_data)
        self._parser.set_callback("part_end", self._on_end)

    @property
    def held_bytes(self) -> int:
        """Length of what is in memory of the part that is being read."""
        return len(self._content)

    def feed(self, chunk: bytes) -> list[Part]:
        """Return the parts that this chunk completes. Raises MalformedBody."""
        self._finished = []
        try:
            self._parser.write(chunk)
        except FormParserError as error:  # its text quotes the body
            raise MalformedBody("the body is not a multipart message with that boundary") from error
        return self._finished

    def require_end(self) -> None:
        """Raise MalformedBody unless the closing boundary was read."""
        if self._parser.state != MultipartState.END:
            raise MalformedBody("the body ends before its closing boundary")

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if len(self._content) + end - start > self._most_bytes:
            self._is_too_long = True
            self._content.clear()
        if not self._is_too_long:
            self._content += memoryview(data)[start:end]

    def _on_end(self) -> None:
        self._finished.append(Part(content=bytes(self._content), is_too_long=self._is_too_long))
        self._content, self._is_too_long = bytearray(), False


def _parser(boundary: bytes) -> MultipartParser:
    try:
        return MultipartParser(boundary)
    except FormParserError as error:
        raise MalformedBody("the boundary is too long") from error


def new_boundary() -> str:
    """Return a boundary that no content has."""
    return secrets.token_hex(16)


def write_parts(contents: Iterable[Iterator[bytes]], boundary: str, content_type: str) -> Iterator[bytes]:
    """Yield a message with one part for each content."""
    for content in contents:
        yield f"--{boundary}\r\nContent-Type: {content_type}\r\n\r\n".encode("ascii")
        yield from content
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode("ascii")


def read_file(path: Path) -> Iterator[bytes]:
    """Yield a file chunk by chunk."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
