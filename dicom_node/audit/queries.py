"""What an audit message says of a query: by default without the values that name a patient."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from urllib.parse import urlencode

from pydicom import Dataset, dcmwrite

_WITHOUT_PATIENT = frozenset(
    {"QueryRetrieveLevel", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "Modality", "limit", "offset"}
)
"""Keys whose values do not name a patient; of all others only the key is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedQuery:
    """A query. sop_class_uid: of C-FIND, whose `content` is a data set; without it, a URL and its parameters."""

    content: bytes
    sop_class_uid: str = ""
    url: str = ""


def find_query(query: Dataset, sop_class_uid: str, *, with_values: bool) -> AuditedQuery:
    """Return the query of a C-FIND, encoded in implicit VR little endian."""
    kept = Dataset()
    for element in query:
        kept.add_new(element.tag, element.VR, element.value if _is_kept(element.keyword, with_values) else None)
    encoded = BytesIO()
    dcmwrite(encoded, kept, implicit_vr=True, little_endian=True)
    return AuditedQuery(content=encoded.getvalue(), sop_class_uid=sop_class_uid)


def url_query(url: str, parameters: Iterable[tuple[str, str]], *, with_values: bool) -> AuditedQuery:
    """Return the query of a QIDO-RS. url: without parameters."""
    kept = [(name, value if _is_kept(name, with_values) else "") for name, value in parameters]
    return AuditedQuery(content=urlencode(kept).encode("ascii"), url=url)


def _is_kept(keyword: str, with_values: bool) -> bool:
    return with_values or keyword in _WITHOUT_PATIENT
