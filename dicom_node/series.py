"""Records of received instances, received series and result documents, identified by UID."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A received SOP instance: its UIDs and the SHA-256 of its file."""

    sop_instance_uid: str
    sop_class_uid: str
    series_uid: str
    study_uid: str
    calling_ae_title: str
    file_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The received part of a series: its UIDs and the sorted UIDs of its instances."""

    series_uid: str
    study_uid: str
    sop_instance_uids: tuple[str, ...]
    last_arrival: float = field(default=0.0, compare=False)
    """UTC, seconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A result document for the PACS: its UIDs and its file in the job's outbox folder."""

    sop_class_uid: str
    sop_instance_uid: str
    file_name: str
