"""DICOMweb client for prior studies: QIDO-RS and WADO-RS (PS3.18).

QIDO-RS has the patient ID in the URL of a search: use https on networks that are not trusted.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO

import requests
from dicomweb_client.web import DICOMwebClient
from pydicom import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.errors import PacsUnavailable
from dicom_node.network.http_session import open_session
from dicom_node.network.scu import OnInstance, Retrieval
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.receiver import received_file

_AS_STORED = (("application/dicom", "*"),)
"""PS3.18 8.7.3.5.2: in the transfer syntax in which the peer stores it."""


class DicomwebSource:
    """The DICOMweb services of one peer."""

    def __init__(self, peer: Peer, node: NodeSettings, on_instance: OnInstance) -> None:
        self.peer = peer
        self._on_instance = on_instance
        self._aborted = threading.Event()
        timeouts = (node.connect_timeout_s, node.network_timeout_s)
        self._client = DICOMwebClient(peer.dicomweb_url.rstrip("/"), session=open_session(peer), timeout=timeouts)
        self._client.set_http_retry_params(retry=False)

    def find(self, query: Dataset) -> list[Dataset]:
        """Return the matches of a STUDY, SERIES or IMAGE query (QIDO-RS). Raises PacsUnavailable."""
        filters = {element.keyword: element.value for element in query if element.value}
        level, study_uid = filters.pop("QueryRetrieveLevel"), filters.pop("StudyInstanceUID", None)
        series_uid = filters.pop("SeriesInstanceUID", None)
        fields = [element.keyword for element in query if element.keyword != "QueryRetrieveLevel"]
        with self._translate_errors("QIDO-RS"):
            if level == "STUDY":
                found = self._client.search_for_studies(fields=fields, search_filters=filters)
            elif level == "SERIES":
                found = self._client.search_for_series(study_uid, fields=fields, search_filters=filters)
            else:
                found = self._client.search_for_instances(study_uid, series_uid, fields=fields, search_filters=filters)
            return [Dataset.from_json(answer) for answer in found]

    def retrieve(self, study_uid: str, series_uid: str) -> Retrieval:
        """Retrieve a series (WADO-RS) and pass each instance to `on_instance`. Raises PacsUnavailable."""
        count = 0
        with self._translate_errors("WADO-RS"):
            for instance in self._client.iter_series(study_uid, series_uid, media_types=_AS_STORED):
                if self._aborted.is_set():
                    raise PacsUnavailable(self.peer.name, "WADO-RS: aborted by us")
                read = partial(received_file, _file(instance), self.peer.ae_title, is_fetched=True)
                self._on_instance(str(instance.SOPInstanceUID), read)
                count += 1
        return Retrieval(completed=count, failed=0)

    def abort(self) -> None:
        """End a retrieval before its next instance; a search is ended by its timeout only."""
        self._aborted.set()

    @contextmanager
    def _translate_errors(self, service: str) -> Iterator[None]:
        """Translate errors into PacsUnavailable, without the URL, which contains the patient ID."""
        self._aborted.clear()
        try:
            yield
        except requests.HTTPError as error:
            status = error.response.status_code if error.response is not None else 0
            raise PacsUnavailable(self.peer.name, f"{service}: HTTP status {status}", status) from None
        except (requests.RequestException, InvalidDicomError, ValueError, KeyError, AttributeError, EOFError) as error:
            raise PacsUnavailable(self.peer.name, f"{service}: {type(error).__name__}") from None


def _file(instance: Dataset) -> bytes:
    buffer = BytesIO()
    instance.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
