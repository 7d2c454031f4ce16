"""The body of a STOW-RS request, part by part, with limits of its length and of the time between its bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request

from dicom_node.dicomweb.media_types import DICOM, read_media_type
from dicom_node.dicomweb.multipart import MalformedBody, Part, PartReader

MOST_INSTANCE_BYTES = 1 << 30
"""The content of a longer part is not kept."""


class EarlyEnd(Exception):  # noqa: N818 - a fact about the request, no error of ours
    """The body ended too early, or is not a multipart message; `http_status` answers it if nothing was stored."""

    def __init__(self, why: str, http_status: int) -> None:
        super().__init__(why)
        self.http_status = http_status


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """Limits of the body of a request."""

    most_bytes: int
    timeout_s: float
    """A body of which nothing arrives for this long is ended."""


async def read_parts(request: Request, limits: BodyLimits) -> AsyncIterator[Part]:
    """Yield the parts of a body as they arrive. Raises EarlyEnd, and HTTPException before anything is read."""
    boundary = _boundary(request)
    if int(request.headers.get("Content-Length", 0)) > limits.most_bytes:
        raise HTTPException(413, _too_long(limits))
    try:
        reader = PartReader(boundary, MOST_INSTANCE_BYTES)
        async for chunk in _chunks(request, limits):
            for part in reader.feed(chunk):
                yield part
        reader.require_end()
    except MalformedBody as error:
        raise EarlyEnd(str(error), 400) from None


def _boundary(request: Request) -> bytes:
    name, parameters = read_media_type(request.headers.get("Content-Type", ""))
    is_encoded = request.headers.get("Content-Encoding", "identity") != "identity"
    if name != "multipart/related" or parameters.get("type", "").lower() != DICOM or is_encoded:
        raise HTTPException(415, f'only multipart/related; type="{DICOM}" is accepted')
    if not (boundary := parameters.get("boundary", "")):
        raise HTTPException(400, "Content-Type has no boundary")
    return boundary.encode("latin-1")


async def _chunks(request: Request, limits: BodyLimits) -> AsyncIterator[bytes]:
    received, is_open = 0, True
    while is_open:
        try:
            message = await asyncio.wait_for(request.receive(), limits.timeout_s)
        except TimeoutError:
            raise EarlyEnd(f"nothing arrived for {limits.timeout_s:g} s", 408) from None
        if message["type"] == "http.disconnect":
            raise EarlyEnd("the connection was closed", 400)
        chunk, is_open = message.get("body", b""), message.get("more_body", False)
        received += len(chunk)
        if received > limits.most_bytes:
            raise EarlyEnd(_too_long(limits), 413)
        yield chunk


def _too_long(limits: BodyLimits) -> str:
    return f"a request has at most {limits.most_bytes >> 20} MiB (dicomweb.max_request_mb)"
