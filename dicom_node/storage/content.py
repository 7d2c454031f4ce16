"""Whether the files of received instances are what was received: hashes of their data sets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from dicom_node.storage.spool import Spool

_START = 144
"""Bytes before the rest of the file meta information: preamble, prefix and the element that has its length."""
_LENGTH_OF_META = slice(140, 144)
_FIRST_ELEMENT, _FIRST_HEADER = slice(128, 140), b"DICM\2\0\0\0UL\4\0"
"""PS3.10 7.1: the File Meta Information Group Length (0002,0000) is the first element."""


def data_set_sha256(path: Path) -> str:
    """Return the SHA-256 (64 hex digits) of the encoded data set of a DICOM file, without its file meta information.

    It is that of the whole file if that does not begin as PS3.10 has it. Raises OSError.
    """
    with path.open("rb") as file:
        start = file.read(_START)
        is_standard = start[_FIRST_ELEMENT] == _FIRST_HEADER
        file.seek(_START + int.from_bytes(start[_LENGTH_OF_META], "little") if is_standard else 0)
        return hashlib.file_digest(file, "sha256").hexdigest()


def changed_instances(spool: Spool, series_uid: str, data_sets: Mapping[str, str]) -> list[str]:
    """Return the UIDs of the instances of a series whose file is gone, or has another data set than was received.

    data_sets: hash of each data set by SOP Instance UID; an empty one is not known, and not compared.
    """
    return [
        uid for uid, sha256 in data_sets.items() if sha256 and _hash_of(spool.instance_path(series_uid, uid)) != sha256
    ]


def _hash_of(path: Path) -> str | None:
    try:
        return data_set_sha256(path)
    except FileNotFoundError:
        return None
