"""Deliveries of results by STOW-RS: to a DICOMweb server that is away, refuses, and stores."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_node.delivery.delivery import DeliveryWorker, plan_deliveries
from dicom_node.errors import PacsUnavailable, UnreadableInstance
from dicom_node.jobs import JobState
from dicom_node.network.scu import PacsClient
from dicom_node.network.stow import StowClient
from dicom_node.settings import NodeSettings, Peer
from tests.fixtures.dicom_node.dicomweb_site import TOKEN, DicomwebSite, StartDicomweb
from tests.fixtures.dicom_node.results import ALL, FIRST
from tests.fixtures.ports import free_port

MakeCt = Callable[..., Dataset]
NODE = NodeSettings(connect_timeout_s=2.0, network_timeout_s=5.0, retry_deadline_s=60.0)


def archive(url: str, token: str = TOKEN, **settings: object) -> Peer:
    of_archive = {
        "name": "archive",
        "ae_title": "ARCHIVE",
        "send_results": True,
        "deliver": "stow",
        "dicomweb_url": url,
    }
    return Peer.model_validate(of_archive | {"dicomweb_authorization": f"Bearer {token}"} | settings)


def delivery_worker(site: DicomwebSite, peer: Peer) -> DeliveryWorker:
    clients = {"client": PacsClient(peer, NODE), "sender": StowClient(peer, NODE)}
    plan_deliveries(site.opened.deliveries, [peer], 0.0)
    return DeliveryWorker(peer=peer, node=NODE, journal=site.opened, spool=site.spool, **clients)  # type: ignore[arg-type]


def test_results_are_stored_and_the_job_is_committed(dicomweb: DicomwebSite, make_ct: MakeCt) -> None:
    key = dicomweb.finish_job([make_ct(1), make_ct(2)]).job_key

    delivery_worker(dicomweb, archive(dicomweb.url)).step(1.0)

    # Without storage commitment a stored document counts as committed.
    assert dicomweb.opened.jobs.get(key).state is JobState.COMMITTED
    assert dicomweb.journal.series.stored_uids("1.2.3") == ("1.2.3.1", "1.2.3.2")


def test_an_archive_that_is_away_or_refuses_the_token_is_asked_again(
    start_dicomweb: StartDicomweb, make_ct: MakeCt
) -> None:
    site = start_dicomweb()
    key = site.finish_job([make_ct(1)]).job_key
    away = archive(f"http://127.0.0.1:{free_port()}/dicom-web")

    for peer, why in ((away, "ConnectionError"), (archive(site.url, "a-token-that-is-wrong"), "HTTP status 401")):
        delivery_worker(site, peer).step(4e9)
        (delivery,) = site.opened.deliveries.of_job(key)
        assert why in str(delivery.reason)
        assert site.opened.jobs.get(key).state is JobState.ANALYSED
    assert delivery.attempts == 2

    delivery_worker(site, archive(site.url)).step(4e9)
    assert site.opened.jobs.get(key).state is JobState.COMMITTED


def test_a_document_that_the_archive_refuses_fails_its_job(dicomweb: DicomwebSite, make_ct: MakeCt) -> None:
    key = dicomweb.finish_job(ALL[FIRST.study_uid]).job_key  # SEG and SR: that sender may store CT alone

    delivery_worker(dicomweb, archive(dicomweb.url)).step(1.0)

    job = dicomweb.opened.jobs.get(key)
    assert (job.state, job.reason) == (
        JobState.FAILED,
        f"archive: instance {FIRST.study_uid}.8.1: refused with status 0x0122",
    )


class Redirecting(BaseHTTPRequestHandler):
    """A proxy that sends whoever is not logged in to a page of its own."""

    def do_POST(self) -> None:
        self.send_response(302)
        self.send_header("Location", "/login")
        self.end_headers()

    def do_GET(self) -> None:
        stored = {"00081155": {"vr": "UI", "Value": ["1.2.3.1"]}}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"00081199": {"vr": "SQ", "Value": [stored]}}).encode())

    def log_message(self, *_: object) -> None:
        pass


def test_a_redirection_is_not_taken_for_an_answer(make_ct: MakeCt, tmp_path: Path) -> None:
    make_ct(1).save_as(tmp_path / "1.dcm", enforce_file_format=True)
    with HTTPServer(("127.0.0.1", 0), Redirecting) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        client = StowClient(archive(f"http://127.0.0.1:{server.server_address[1]}"), NODE)
        with pytest.raises(PacsUnavailable, match="HTTP status 302"):
            list(client.store([tmp_path / "1.dcm"]))
        server.shutdown()
        thread.join()


def test_a_file_that_cannot_be_read_is_an_error_of_its_own(dicomweb: DicomwebSite, tmp_path: Path) -> None:
    (tmp_path / "empty.dcm").touch()
    (outcome,) = StowClient(archive(dicomweb.url), NODE).store([tmp_path / "empty.dcm"])

    assert isinstance(outcome.error, UnreadableInstance)


def test_the_probe_of_doctor_says_what_the_archive_answers(dicomweb: DicomwebSite) -> None:
    url = f"http://127.0.0.1:{free_port()}/dicom-web"

    assert StowClient(archive(dicomweb.url), NODE).probe() == 403  # it may send, and not search
    assert StowClient(archive(dicomweb.url, "a-token-that-is-wrong"), NODE).probe() == 401
    with pytest.raises(PacsUnavailable, match="archive: STOW-RS: NewConnectionError"):
        StowClient(archive(url), NODE).probe()


def test_after_an_abort_no_further_document_is_sent(dicomweb: DicomwebSite, make_ct: MakeCt) -> None:
    key = dicomweb.finish_job([make_ct(1), make_ct(2)]).job_key
    client = StowClient(archive(dicomweb.url), NODE)
    outcomes = client.store([dicomweb.spool.document_path(key, f"{number}.dcm") for number in (0, 1)])
    next(outcomes)
    client.abort()

    with pytest.raises(PacsUnavailable, match="archive: STOW-RS: aborted by us"):
        next(outcomes)
