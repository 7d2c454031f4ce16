"""QIDO-RS as HTTP: the request of a search and its answer."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dicom_node.audit.queries import url_query
from dicom_node.dicomweb.access import Access
from dicom_node.dicomweb.attributes import Level
from dicom_node.dicomweb.dicom_json import DicomJsonResponse, encode
from dicom_node.dicomweb.query import InvalidQuery, Query, read_query
from dicom_node.dicomweb.results import Results
from dicom_node.dicomweb.search import search
from dicom_node.dicomweb.urls import service_url
from dicom_node.settings import Peer

_NO_FUZZY = "The fuzzymatching parameter is not supported. Only literal matching has been performed."
"""PS3.18 8.3.4.2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchService:
    """Searches our results for peers that may retrieve them."""

    access: Access
    results: Results
    public_url: str
    """`DicomwebSettings.public_url`."""

    def search(self, request: Request) -> Response:
        """Answer GET /studies, /series, /instances, and the last two below a study or a series."""
        peer = self.access.require(request, lambda peer: peer.may_retrieve)
        self._audit(request, peer)
        uids = request.path_params
        level = Level(request.url.path.rstrip("/").rpartition("/")[2])
        found = self.results.find(uids.get("study", ""), uids.get("series", ""))
        try:
            query = read_query(request.query_params.multi_items())
            answers = search(found, level, query, service_url(request, self.public_url))
        except InvalidQuery as error:
            raise HTTPException(400, str(error)) from None
        page = answers[query.offset : query.offset + query.limit]
        headers = _warnings(query, len(answers) - query.offset - len(page))
        if not page:
            return Response(status_code=204, headers=headers)
        return DicomJsonResponse([encode(answer) for answer in page], headers=headers)

    def _audit(self, request: Request, peer: Peer) -> None:
        audit, parameters = self.access.audit, request.query_params.multi_items()
        query = url_query(request.url.path, parameters, with_values=audit.has_patient_ids)
        audit.answered(self.access.participant(request, peer), query)


def _warnings(query: Query, remaining: int) -> dict[str, str]:
    """Return the header Warning of a search (PS3.18 8.3.4)."""
    texts = [_NO_FUZZY] if query.is_fuzzy else []
    if remaining > 0:
        texts.append(f"There are {remaining} additional results that can be requested")
    return {"Warning": ", ".join(f'299 LungSpread "{text}"' for text in texts)} if texts else {}
