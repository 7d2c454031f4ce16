"""DICOMweb client for prior studies: QIDO-RS and WADO-RS (PS3.18).

QIDO-RS has the patient ID in the URL of a search: use https on networks that are not trusted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from urllib.parse import quote, urlencode

from pydicom import Dataset

from dicom_node.dicom_file import DAMAGE, value_of
from dicom_node.errors import PacsUnavailable, UnreadableInstance
from dicom_node.network.http_session import Answer, HttpRequest, HttpSession
from dicom_node.network.media_types import DICOM, DICOM_JSON, read_media_type
from dicom_node.network.multipart import MOST_INSTANCE_BYTES, MalformedBody, Part, PartReader
from dicom_node.network.scu import OnInstance, Retrieval
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.dataset_header import split_file
from dicom_node.storage.receiver import received_file

_AS_STORED = f'multipart/related; type="{DICOM}"; transfer-syntax=*'
"""PS3.18 8.7.3.5.2: in the transfer syntax in which the peer stores it."""
_OK, _NO_CONTENT = 200, 204


class DicomwebSource:
    """The DICOMweb services of one peer."""

    def __init__(self, peer: Peer, node: NodeSettings, on_instance: OnInstance) -> None:
        """Raises SettingsError if the peer's URL, certificates or key cannot be used."""
        self.peer = peer
        self._on_instance = on_instance
        self._session = HttpSession(peer, node)
        self._limit_bytes = max(node.priors_size_limit_mb << 20, MOST_INSTANCE_BYTES)

    def find(self, query: Dataset) -> list[Dataset]:
        """Return the matches of a STUDY, SERIES or IMAGE query (QIDO-RS). Raises PacsUnavailable."""
        request = HttpRequest(path=_search_path(query), headers={"Accept": DICOM_JSON})
        with self._session.exchange("QIDO-RS", request) as answer:
            if answer.status == _NO_CONTENT:
                return []
            self._require_ok(answer, "QIDO-RS")
            return [] if answer.is_empty else self._matches(answer.read())

    def retrieve(self, study_uid: str, series_uid: str) -> Retrieval:
        """Retrieve a series (WADO-RS) and pass each instance to `on_instance`. Raises PacsUnavailable.

        Only the instance that is being received is in memory.
        """
        completed = failed = 0
        request = HttpRequest(path=_path(study_uid, series_uid), headers={"Accept": _AS_STORED})
        with self._session.exchange("WADO-RS", request) as answer:
            self._require_ok(answer, "WADO-RS")
            for part in self._parts(answer):
                is_passed_on = self._pass_on(part)
                completed, failed = completed + is_passed_on, failed + (not is_passed_on)
        return Retrieval(completed=completed, failed=failed)

    def abort(self) -> None:
        """End the current call of another thread; it raises PacsUnavailable there."""
        self._session.abort()

    def _require_ok(self, answer: Answer, service: str) -> None:
        if answer.status != _OK:
            raise PacsUnavailable(self.peer.name, f"{service}: HTTP status {answer.status}", answer.status)

    def _matches(self, body: bytes) -> list[Dataset]:
        try:
            return [Dataset.from_json(match) for match in json.loads(body)]
        except DAMAGE as error:
            raise PacsUnavailable(self.peer.name, f"QIDO-RS: no DICOM JSON ({type(error).__name__})") from None

    def _parts(self, answer: Answer) -> Iterator[Part]:
        _, parameters = read_media_type(answer.content_type)
        try:
            reader = PartReader(parameters.get("boundary", "").encode("latin-1"), MOST_INSTANCE_BYTES)
            for chunk in answer.chunks(self._limit_bytes, "node.priors_size_limit_mb"):
                yield from reader.feed(chunk)
            reader.require_end()
        except MalformedBody as error:
            raise PacsUnavailable(self.peer.name, f"WADO-RS: {error}", answer.status) from None

    def _pass_on(self, part: Part) -> bool:
        """Pass an instance to `on_instance`; False if it is too long, or no DICOM file."""
        try:
            meta, _ = split_file(part.content)
        except UnreadableInstance:
            return False
        read = partial(received_file, part.content, self.peer.ae_title, is_fetched=True)
        self._on_instance(str(value_of(meta, "MediaStorageSOPInstanceUID")), read)
        return True


def _search_path(query: Dataset) -> str:
    """Return the path and parameters of a search (PS3.18 10.6.1)."""
    keys = {element.keyword: str(element.value) for element in query if element.value}
    level = keys.pop("QueryRetrieveLevel")
    study_uid, series_uid = keys.pop("StudyInstanceUID", ""), keys.pop("SeriesInstanceUID", "")
    path = {
        "STUDY": "/studies",
        "SERIES": f"{_path(study_uid)}/series",
        "IMAGE": f"{_path(study_uid, series_uid)}/instances",
    }[level]
    fields = [element.keyword for element in query if element.keyword != "QueryRetrieveLevel"]
    return f"{path}?{urlencode([*keys.items(), *(('includefield', name) for name in fields)], quote_via=quote)}"


def _path(study_uid: str, series_uid: str = "") -> str:
    study = f"/studies/{quote(study_uid, safe='')}"
    return f"{study}/series/{quote(series_uid, safe='')}" if series_uid else study
