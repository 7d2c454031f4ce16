"""Downloads one file by HTTP with resume, and keeps it only if its SHA-256 matches."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from models.segmenter import ModelError

TIMEOUT_S = 60
"""Timeout of a connection without data."""
CHUNK = 2**18
ProgressCallback = Callable[[int, int | None], None]
"""Called with the number of bytes so far and the total, None if the server does not state it."""


class DownloadInterrupted(ModelError):  # noqa: N818 - an event, not an error of the model
    """The connection failed; the received bytes are kept, and the same call resumes."""


def download(url: str, sha256: str, path: Path, progress_callback: ProgressCallback) -> None:
    """Download the URL to `path`, which is written only after verification.

    Reconnects as long as each connection brings data. Raises DownloadInterrupted if one brings none, and ModelError if
    the server rejects the request or the content has another SHA-256: then nothing is kept.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ModelError(f"{_plain(url)}: only http and https are supported")
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ModelError(f"a SHA-256 has 64 digits of 0 to 9 and a to f, got {len(sha256)} characters")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{sha256[:12]}.part")
    began_at = _size(part)
    digest = _complete(url, part, progress_callback)
    if digest != sha256 and began_at:  # the partial file may be of another content
        part.unlink()
        digest = _complete(url, part, progress_callback)
    if digest != sha256:
        part.unlink()
        raise ModelError(f"{_plain(url)}: its SHA-256 is {digest}, expected {sha256}; the file is not kept")
    part.replace(path)


def _complete(url: str, part: Path, progress_callback: ProgressCallback) -> str:
    """Download to the end and return the SHA-256 of the file."""
    while not _fetched(url, part, progress_callback):
        pass
    with part.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetched(url: str, part: Path, progress_callback: ProgressCallback) -> bool:
    """Append the data of one connection, and return whether the file is complete according to the server."""
    before = _size(part)
    try:
        return _append(url, part, progress_callback)
    except HTTPError as response_error:
        with response_error:
            if response_error.code == 416 and before:  # RFC 9110, 15.5.17: no bytes left; the hash decides
                return True
            kind = DownloadInterrupted if response_error.code >= 500 or response_error.code == 429 else ModelError
            raise kind(f"{_plain(url)}: the server returned {response_error.code} {response_error.reason}") from None
    except (OSError, HTTPException) as lost:
        if _size(part) > before:
            return False
        reason = getattr(lost, "reason", None) or lost
        raise DownloadInterrupted(
            f"{_plain(url)}: {reason}; {before} bytes are kept, the same command goes on"
        ) from None


def _append(url: str, part: Path, progress_callback: ProgressCallback) -> bool:
    received = _size(part)
    headers = {"Range": f"bytes={received}-"} if received else {}
    with urlopen(Request(url, headers=headers), timeout=TIMEOUT_S) as response:  # noqa: S310 - the scheme is checked
        received, total = _place(response, received, url)
        with part.open("r+b" if received else "wb") as file:
            file.seek(received)
            file.truncate()
            while chunk := response.read(CHUNK):
                file.write(chunk)
                received += len(chunk)
                progress_callback(received, total)
    if total is not None and received < total:
        raise ConnectionError(f"the connection ended after {received} of {total} bytes")
    return True


def _place(response: HTTPResponse, received: int, url: str) -> tuple[int, int | None]:
    """Return the first byte of the response's content, and the size of the whole file."""
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != received:
            raise ModelError(f"{_plain(url)}: the server returned other bytes than those from {received} on")
        return received, None if found[2] == "*" else int(found[2])
    length = response.headers.get("Content-Length")
    return 0, None if length is None else int(length)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _plain(url: str) -> str:
    """Return a URL without user, password and query, which may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
