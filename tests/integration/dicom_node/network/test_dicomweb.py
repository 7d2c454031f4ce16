from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dicom_node.errors import PacsUnavailable
from dicom_node.network.dicomweb import DicomwebSource
from dicom_node.priors.patient_identity import PatientIdentity
from dicom_node.priors.query import FoundSeries, image_query, series_query, study_query
from dicom_node.settings import NodeSettings, Peer

PATIENT = PatientIdentity(patient_id="SECRET-ID")
Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def web(answer: Answer) -> Iterator[int]:
    """Run a web server on a free port that answers every GET with `answer`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def source(port: int, **of_peer: str) -> DicomwebSource:
    url = {"retrieve": "wado", "dicomweb_url": f"http://127.0.0.1:{port}/dicom-web"}
    peer = Peer.model_validate({"name": "web", "ae_title": "WEB", "host": "127.0.0.1", "port": 1} | url | of_peer)
    node = NodeSettings(connect_timeout_s=1.0, network_timeout_s=1.0)
    return DicomwebSource(peer, node, on_instance=lambda _uid, _file: None)


def plain(status: int, body: bytes = b"", seen: list[tuple[str, str]] | None = None) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if seen is not None:
            seen.append((request.path, request.headers.get("Authorization", "")))
        request.send_response(status)
        request.send_header("Content-Type", "application/dicom+json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


IMAGES = b'[{"00080018": {"vr": "UI", "Value": ["1.2.3.4"]}, "00280008": {"vr": "IS", "Value": [240]}}]'
STUDIES = b'[{"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00100030": {"vr": "DA", "Value": ["19500101"]}}]'


def test_a_search_has_the_patient_id_and_the_return_keys() -> None:
    seen: list[tuple[str, str]] = []
    with web(plain(200, STUDIES, seen)) as port:
        (study,) = source(port, dicomweb_authorization="Bearer token").find(study_query(PATIENT))

    assert (study.StudyInstanceUID, study.PatientBirthDate) == ("1.2", "19500101")
    path, authorization = seen[0]
    assert path.startswith("/dicom-web/studies?")
    assert "PatientID=SECRET-ID" in path
    assert authorization == "Bearer token"
    for keyword in ("PatientBirthDate", "PatientSex", "StudyDate", "ModalitiesInStudy"):
        assert f"includefield={keyword}" in path


def test_the_images_of_a_series_are_searched_below_the_series() -> None:
    series = FoundSeries(study_uid="1.2", series_uid="1.2.3", modality="CT", instances=1, is_relevant=True)
    seen: list[tuple[str, str]] = []
    with web(plain(200, IMAGES, seen)) as port:
        (image,) = source(port).find(image_query(series))

    assert (image.SOPInstanceUID, image.NumberOfFrames) == ("1.2.3.4", 240)
    path, _ = seen[0]
    assert path.startswith("/dicom-web/studies/1.2/series/1.2.3/instances?")
    assert "includefield=NumberOfFrames" in path


def test_the_series_of_a_study_are_searched_below_the_study() -> None:
    seen: list[tuple[str, str]] = []
    with web(plain(200, b"[]", seen)) as port:
        assert source(port).find(series_query("1.2")) == []

    assert seen[0][0].startswith("/dicom-web/studies/1.2/series?")


@pytest.mark.parametrize(("status", "message"), [(401, "HTTP status 401"), (500, "HTTP status 500")])
def test_an_http_error_raises_with_its_status_and_no_patient_data(status: int, message: str) -> None:
    with web(plain(status)) as port, pytest.raises(PacsUnavailable) as refused:
        source(port, dicomweb_authorization="Bearer token").find(study_query(PATIENT))

    assert str(refused.value) == f"web: QIDO-RS: {message}"
    assert refused.value.status == status


def test_a_response_that_is_not_dicom_json_raises() -> None:
    with web(plain(200, b"<html>SECRET</html>")) as port, pytest.raises(PacsUnavailable, match="QIDO-RS: ") as refused:
        source(port).find(study_query(PATIENT))

    assert "SECRET" not in str(refused.value)


def test_a_peer_that_does_not_respond_raises() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_server, pytest.raises(PacsUnavailable, match="Timeout"):
        source(silent_server.getsockname()[1]).find(study_query(PATIENT))


def test_a_refused_retrieval_raises_with_its_status() -> None:
    with web(plain(404)) as port, pytest.raises(PacsUnavailable, match="WADO-RS: HTTP status 404"):
        source(port).retrieve("1.2", "1.2.3")


def test_the_authorization_is_not_printed_with_the_settings() -> None:
    peer = source(1, dicomweb_authorization="Bearer SECRET").peer

    assert "SECRET" not in f"{peer!r} {peer} {peer.model_dump_json()}"


def test_dicomweb_requires_a_url_without_a_password() -> None:
    needed = {"name": "web", "ae_title": "WEB", "host": "h", "port": 1, "retrieve": "wado"}
    for wrong in ({}, {"dicomweb_url": "ftp://h"}, {"dicomweb_url": "http://me:secret@h/"}):
        with pytest.raises(ValueError, match="dicomweb_url"):
            Peer.model_validate(needed | wrong)
