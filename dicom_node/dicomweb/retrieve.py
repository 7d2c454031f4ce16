"""WADO-RS (PS3.18 10.4): the files of our results, their metadata, and the pixel data that metadata leave out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import dcmread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from dicom_node.audit.message import Participant
from dicom_node.dicomweb.access import Access
from dicom_node.dicomweb.dicom_json import DicomJsonResponse, encode
from dicom_node.dicomweb.results import Result, Results
from dicom_node.dicomweb.urls import retrieve_url, service_url
from dicom_node.network.media_types import BYTES, DICOM, accepts_multipart
from dicom_node.network.multipart import new_boundary, read_file, write_parts

PIXEL_DATA = "7FE00010"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieveService:
    """Returns our results to peers that may retrieve them."""

    access: Access
    results: Results
    public_url: str
    """`DicomwebSettings.public_url`."""

    def retrieve(self, request: Request) -> Response:
        """Answer GET of a study, a series or an instance: the files as they are in the outbox."""
        return _multipart(request, map(read_file, self._find(request)), DICOM)

    def metadata(self, request: Request) -> Response:
        """Answer GET of the metadata of a study, a series or an instance."""
        service = service_url(request, self.public_url)
        return DicomJsonResponse([_metadata(path, service) for path in self._find(request)])

    def pixel_data(self, request: Request) -> Response:
        """Answer GET of the pixel data of an instance, to which its metadata refer."""
        document = dcmread(self._find(request)[0])
        if "PixelData" not in document:
            raise HTTPException(404, "this instance has no pixel data")
        return _multipart(request, [iter([document.PixelData])], BYTES)

    def _find(self, request: Request) -> list[Path]:
        peer = self.access.require(request, lambda peer: peer.may_retrieve)
        uids = request.path_params
        found = list(self.results.find(uids["study"], uids.get("series", ""), uids.get("instance", "")))
        if not found:
            raise HTTPException(404, "no result has these UIDs")
        self._audit(self.access.participant(request, peer), found)
        return [result.path for result in found]

    def _audit(self, receiver: Participant, found: Sequence[Result]) -> None:
        for result in found:
            study_uid, sop_class_uid = str(result.header.StudyInstanceUID), str(result.header.get("SOPClassUID", ""))
            self.access.audit.retrieved(receiver, study_uid, sop_class_uid, result.path)


def _multipart(request: Request, contents: Iterable[Iterator[bytes]], content_type: str) -> Response:
    if not accepts_multipart(request.headers.get("Accept", "*/*"), content_type):
        raise HTTPException(406, f'only multipart/related; type="{content_type}" in explicit VR little endian')
    boundary = new_boundary()
    media_type = f'multipart/related; type="{content_type}"; boundary={boundary}'
    return StreamingResponse(write_parts(contents, boundary, content_type), media_type=media_type)


def _metadata(path: Path, service: str) -> dict[str, Any]:
    """Return all attributes of a file; PS3.18 10.4.3.3.2 allows a URI in place of the pixels."""
    document = dcmread(path)
    pixels = document.pop("PixelData", None)
    encoded = encode(document)
    if pixels is not None:
        encoded[PIXEL_DATA] = {
            "vr": pixels.VR,
            "BulkDataURI": f"{retrieve_url(document, service)}/bulkdata/{PIXEL_DATA}",
        }
    return encoded
