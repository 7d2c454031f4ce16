"""Records of received instances, received series and result documents, identified by UID."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A received SOP instance: its UIDs and the SHA-256 of its data set."""

    sop_instance_uid: str
    sop_class_uid: str
    series_uid: str
    study_uid: str
    calling_ae_title: str
    data_set_sha256: str
    """64 hex digits, of the data set as it was encoded. The file meta information, in which we name the sender, is not
    part of it: the same instance from another sender has the same content."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The received part of a series: its UIDs, the sorted UIDs of its instances, and the hash of their content."""

    series_uid: str
    study_uid: str
    sop_instance_uids: tuple[str, ...]
    images_sha256: str = field(default="", compare=False)
    """`images_sha256` of its instances; empty where nobody asks for it."""
    last_arrival: float = field(default=0.0, compare=False)
    """UTC, seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A result document for the PACS: its UIDs and its file in the job's outbox folder."""

    sop_class_uid: str
    sop_instance_uid: str
    file_name: str


def images_sha256(series_uid: str, data_sets: Iterable[tuple[str, str]]) -> str:
    """Return the SHA-256 (64 hex digits) of what was received of a series: its UID, and its instances' content.

    data_sets: SOP Instance UID and hash (`Instance.data_set_sha256`) of each instance, in any order.
    """
    lines = [series_uid, *(f"{uid} {sha256}" for uid, sha256 in sorted(data_sets))]
    return hashlib.sha256("\n".join(lines).encode("ascii")).hexdigest()
