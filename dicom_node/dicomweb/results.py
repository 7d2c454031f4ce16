"""Our results, SEG and SR: the documents that the journal has, with the headers of their files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pydicom import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag

from dicom_node.dicomweb.attributes import READ
from dicom_node.journal.documents import DocumentJournal
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

_CONTENT_SEQUENCE = Tag("ContentSequence")
_HEADERS_IN_MEMORY = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A result document: its file, and the attributes that a search returns."""

    path: Path
    header: Dataset


class Results:
    """The results in the outbox; a result that another one has replaced is left out."""

    def __init__(self, documents: DocumentJournal, spool: Spool) -> None:
        self._documents = documents
        self._spool = spool

    def find(self, study_uid: str = "", series_uid: str = "", sop_instance_uid: str = "") -> Iterator[Result]:
        """Yield the results with these UIDs, the oldest first; an empty UID is any. Raises JournalUnavailable."""
        for document in self._documents.find(study_uid, sop_instance_uid):
            path = self._spool.document_path(document.job_key, document.file_name)
            try:
                header = _read_header(path, path.stat().st_mtime_ns)
            except (OSError, InvalidDicomError) as error:
                log.error("result %s cannot be read: %s", document.sop_instance_uid, type(error).__name__)  # noqa: TRY400
                continue
            if series_uid in ("", header.SeriesInstanceUID) and study_uid in ("", header.StudyInstanceUID):
                yield Result(path=path, header=header)


@lru_cache(_HEADERS_IN_MEMORY)
def _read_header(path: Path, _written_at: int) -> Dataset:
    """Return the searched attributes of a file, which lie before its content and its pixels."""
    with path.open("rb") as file:
        return read_partial(file, _is_at_content, specific_tags=[Tag(keyword) for keyword in READ])


def _is_at_content(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag >= _CONTENT_SEQUENCE)
