"""The body of a STOW-RS request, part by part, with limits of its length and of the time between its bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.exceptions import HTTPException
from starlette.requests import Request

from dicom_node.network.media_types import DICOM, read_media_type
from dicom_node.network.multipart import MOST_INSTANCE_BYTES, MalformedBody, Part, PartReader
from dicom_node.network.scu import MIN_BYTES_PER_S


class EarlyEnd(Exception):  # noqa: N818 - a fact about the request, no error of ours
    """The body ended too early, or is not a multipart message; `http_status` answers it if nothing was stored."""

    def __init__(self, why: str, http_status: int) -> None:
        super().__init__(why)
        self.http_status = http_status


class BodyMemory:
    """What the bodies of all requests hold in memory: together no more than the longest instance."""

    def __init__(self) -> None:
        self._held: dict[PartReader, int] = {}

    def require(self, reader: PartReader) -> None:
        """Count what a reader holds. Raises EarlyEnd if all together hold too much: the sender tries again later."""
        self._held[reader] = reader.held_bytes
        if sum(self._held.values()) > MOST_INSTANCE_BYTES:
            raise EarlyEnd("too many large instances arrive at once", 503)

    def forget(self, reader: PartReader) -> None:
        """Count no longer what a reader holds."""
        self._held.pop(reader, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """Limits of the body of a request."""

    most_bytes: int
    timeout_s: float
    """A body of which nothing arrives for this long is ended, and one that on the whole comes slower than 100 kB/s."""
    memory: BodyMemory = field(default_factory=BodyMemory)


class RequestSlots:
    """How many requests that store may run at once; those of strangers take none."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._taken = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a slot. Raises HTTPException (503) if there is none."""
        if self._taken >= self._number:
            raise HTTPException(503, "too many requests at once", {"Retry-After": "10"})
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1


async def read_parts(request: Request, limits: BodyLimits) -> AsyncIterator[Part]:
    """Yield the parts of a body as they arrive. Raises EarlyEnd, and HTTPException before anything is read."""
    boundary = _boundary(request)
    if int(request.headers.get("Content-Length", 0)) > limits.most_bytes:
        raise HTTPException(413, _too_long(limits))
    try:
        reader = PartReader(boundary, MOST_INSTANCE_BYTES)
    except MalformedBody as error:
        raise HTTPException(400, str(error)) from None
    try:
        async for chunk in _chunks(request, limits):
            for part in reader.feed(chunk):
                yield part
            limits.memory.require(reader)
        reader.require_end()
    except MalformedBody as error:
        raise EarlyEnd(str(error), 400) from None
    finally:
        limits.memory.forget(reader)


def _boundary(request: Request) -> bytes:
    name, parameters = read_media_type(request.headers.get("Content-Type", ""))
    is_encoded = request.headers.get("Content-Encoding", "identity") != "identity"
    if name != "multipart/related" or parameters.get("type", "").lower() != DICOM or is_encoded:
        raise HTTPException(415, f'only multipart/related; type="{DICOM}" is accepted')
    if not (boundary := parameters.get("boundary", "")):
        raise HTTPException(400, "Content-Type has no boundary")
    return boundary.encode("latin-1")


async def _chunks(request: Request, limits: BodyLimits) -> AsyncIterator[bytes]:
    received, is_open, began_at = 0, True, time.monotonic()
    while is_open:
        left_s = began_at + limits.timeout_s + received / MIN_BYTES_PER_S - time.monotonic()
        try:
            message = await asyncio.wait_for(request.receive(), min(left_s, limits.timeout_s))
        except TimeoutError:
            raise EarlyEnd(
                f"too little arrived: {received} bytes in {time.monotonic() - began_at:.0f} s", 408
            ) from None
        if message["type"] == "http.disconnect":
            raise EarlyEnd("the connection was closed", 400)
        chunk, is_open = message.get("body", b""), message.get("more_body", False)
        received += len(chunk)
        if received > limits.most_bytes:
            raise EarlyEnd(_too_long(limits), 413)
        yield chunk


def _too_long(limits: BodyLimits) -> str:
    return f"a request has at most {limits.most_bytes >> 20} MiB (dicomweb.max_request_mb)"
