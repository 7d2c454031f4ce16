"""Fetches one file by HTTP, going on where an earlier try ended, and keeps only what has the SHA-256 asked for.

Opens nothing of what it fetches, and knows no model.
"""

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

SILENCE_S = 60
"""A server that sends nothing for so long is taken for lost."""
CHUNK = 2**18
ProgressCallback = Callable[[int, int | None], None]
"""Called with the bytes that are there, and how many there will be, None where the server does not say."""


class DownloadInterrupted(ModelError):  # noqa: N818 - named for what happened: nothing is wrong with the model
    """The connection failed; what came is kept, and the same call goes on from there."""


def download(url: str, sha256: str, path: Path, told: ProgressCallback) -> None:
    """Write what lies at the URL to `path`, which appears whole and verified, or not at all.

    Goes on as long as each connection brings something. Raises DownloadInterrupted when one brings nothing, and
    ModelError when the content has another SHA-256: then nothing of it is kept.
    """
    if urlsplit(url).scheme not in {"http", "https"}:
        raise ModelError(f"{_plain(url)}: only http and https are fetched")
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise ModelError(f"a SHA-256 has 64 digits of 0 to 9 and a to f, this one {len(sha256)} characters")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{sha256[:12]}.part")
    began_at = _size(part)
    digest = _complete(url, part, told)
    if digest != sha256 and began_at:  # what an earlier try left may be another file's beginning
        part.unlink()
        digest = _complete(url, part, told)
    if digest != sha256:
        part.unlink()
        raise ModelError(f"{_plain(url)}: its SHA-256 is {digest}, {sha256} was asked for; nothing of it is kept")
    part.replace(path)


def _complete(url: str, part: Path, told: ProgressCallback) -> str:
    """Fetch to the end and return the SHA-256 of what came."""
    while not _fetched(url, part, told):
        pass
    with part.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetched(url: str, part: Path, told: ProgressCallback) -> bool:
    """Add what one connection brings, and return whether the file is whole by the server's word."""
    before = _size(part)
    try:
        return _append(url, part, told)
    except HTTPError as refusal:
        with refusal:
            if refusal.code == 416 and before:  # RFC 9110, 15.5.17: nothing lies beyond; the hash decides
                return True
            kind = DownloadInterrupted if refusal.code >= 500 or refusal.code == 429 else ModelError
            raise kind(f"{_plain(url)}: the server answers {refusal.code} {refusal.reason}") from None
    except (OSError, HTTPException) as lost:
        if _size(part) > before:
            return False
        reason = getattr(lost, "reason", None) or lost
        raise DownloadInterrupted(
            f"{_plain(url)}: {reason}; {before} bytes are kept, the same command goes on"
        ) from None


def _append(url: str, part: Path, told: ProgressCallback) -> bool:
    there = _size(part)
    headers = {"Range": f"bytes={there}-"} if there else {}
    with urlopen(Request(url, headers=headers), timeout=SILENCE_S) as response:  # noqa: S310 - its scheme was looked at
        there, total = _place(response, there, url)
        with part.open("r+b" if there else "wb") as file:
            file.seek(there)
            file.truncate()
            while chunk := response.read(CHUNK):
                file.write(chunk)
                there += len(chunk)
                told(there, total)
    if total is not None and there < total:
        raise ConnectionError(f"the connection ended at {there} of {total} bytes")
    return True


def _place(response: HTTPResponse, there: int, url: str) -> tuple[int, int | None]:
    """Return at which byte the answer begins, and how many the whole file has."""
    if response.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != there:
            raise ModelError(f"{_plain(url)}: the server answers with other bytes than those from {there} on")
        return there, None if found[2] == "*" else int(found[2])
    length = response.headers.get("Content-Length")
    return 0, None if length is None else int(length)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _plain(url: str) -> str:
    """Return a URL without what may be secret in it: user, password, query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"
