"""STOW-RS: what is answered with success is on disk, and the same as by C-STORE."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
import requests
from pydicom import Dataset, dcmread
from pydicom.uid import MPEG4HP41, MRImageStorage

from dicom_node.dicomweb import request_body
from dicom_node.network.scu import PacsClient
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.receiver import InstanceReceiver
from tests.conftest import StartScp
from tests.fixtures.dicom_node.dicomweb_site import READER_TOKEN, SENDER, TOKEN, DicomwebSite, StartDicomweb

MakeCt = Callable[..., Dataset]
WriteCt = Callable[..., list[Path]]


def encoded(document: Dataset) -> bytes:
    buffer = BytesIO()
    document.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def message(*files: bytes, boundary: str = "b") -> bytes:
    parts = [f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode() + file for file in files]
    return b"\r\n".join([*parts, f"--{boundary}--\r\n".encode()])


def post(
    site: DicomwebSite, body: bytes | Iterator[bytes], *, study: str = "", token: str = TOKEN, **headers: str
) -> requests.Response:
    sent = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'} | headers
    if token:
        sent["Authorization"] = f"Bearer {token}"
    path = f"/studies/{study}" if study else "/studies"
    return requests.post(f"{site.url}{path}", data=body, headers=sent, timeout=20)


def failures(answer: requests.Response) -> list[int]:
    module = Dataset.from_json(answer.json())
    items = [*module.get("FailedSOPSequence", []), *module.get("OtherFailuresSequence", [])]
    return [int(item.FailureReason) for item in items]


def test_instances_of_dicomweb_client_are_stored_and_named(dicomweb: DicomwebSite, write_ct: WriteCt) -> None:
    files = write_ct(20)
    answer = dicomweb.client(TOKEN).store_instances([dcmread(file) for file in files])

    named = [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence]
    assert named == [f"1.2.3.{number}" for number in range(1, 21)]
    stored = dicomweb.journal.series.stored_uids("1.2.3")
    assert sorted(stored) == sorted(named)
    paths = dicomweb.spool.instance_paths("1.2.3", named)
    assert [dcmread(path) for path in paths] == [dcmread(file) for file in files]


def test_an_instance_has_the_same_row_and_file_by_c_store_and_by_stow(
    start_scp: StartScp, start_dicomweb: StartDicomweb, write_ct: WriteCt
) -> None:
    (file,) = write_ct(1)
    by_dicom = Peer(name="sender", ae_title="SENDER", host="127.0.0.1", port=1, may_send=True)
    scp = start_scp(by_dicom)
    node = Peer(name="node", ae_title="LUNGNODE", host="127.0.0.1", port=scp.port)
    assert [outcome.error for outcome in PacsClient(node, NodeSettings(ae_title="SENDER")).store([file])] == [None]
    (path,) = scp.files()
    first, row = path.read_bytes(), scp.journal.series.instances(["1.2.3.1"])

    site = start_dicomweb()  # on the same data directory and journal
    assert post(site, message(file.read_bytes())).status_code == 200

    assert path.read_bytes() == first
    assert site.journal.series.instances(["1.2.3.1"]) == row
    assert len(scp.files()) == 1


def test_rows_that_were_not_written_when_the_process_was_killed_are_made_at_start(
    dicomweb: DicomwebSite, write_ct: WriteCt
) -> None:
    files = [file.read_bytes() for file in write_ct(3)]
    assert post(dicomweb, message(*files)).status_code == 200
    uids = ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    rows = dicomweb.journal.series.instances(uids)
    dicomweb.opened.series.drop("1.2.3")
    assert dicomweb.opened.series.instances(uids) == []

    restarted = InstanceReceiver(dicomweb.opened.series, dicomweb.spool)
    assert restarted.record_missing() == 3
    assert dicomweb.opened.series.instances(uids) == rows
    assert {row.calling_ae_title for row in rows} == {"SENDER"}
    restarted.close()


def test_each_part_that_is_not_stored_is_named_with_its_reason(dicomweb: DicomwebSite, make_ct: MakeCt) -> None:
    mr, video = make_ct(2), make_ct(3)
    mr.SOPClassUID = mr.file_meta.MediaStorageSOPClassUID = MRImageStorage
    video.file_meta.TransferSyntaxUID = MPEG4HP41
    del video.PixelData
    unequal = encoded(make_ct(5)).replace(b"1.2.3.5\0", b"1.2.3.6\0", 1)
    truncated = encoded(make_ct(7))[:-100]

    answer = post(dicomweb, message(encoded(make_ct(1)), encoded(mr), encoded(video), unequal, truncated, b"no DICOM"))

    assert answer.status_code == 202
    assert answer.headers["Content-Type"] == "application/dicom+json"
    assert failures(answer) == [0x0122, 0xC122, 0xA900, 0xC000, 0xC000]
    module = Dataset.from_json(answer.json())
    assert [item.ReferencedSOPInstanceUID for item in module.ReferencedSOPSequence] == ["1.2.3.1"]
    assert [item.ReferencedSOPInstanceUID for item in module.FailedSOPSequence][:2] == ["1.2.3.2", "1.2.3.3"]
    assert dicomweb.journal.series.stored_uids("1.2.3") == ("1.2.3.1",)


def test_a_request_of_which_nothing_is_stored_is_answered_409(dicomweb: DicomwebSite) -> None:
    answer = post(dicomweb, message(b"no DICOM"))

    assert (answer.status_code, failures(answer)) == (409, [0xC000])


def test_an_instance_of_another_study_than_the_url_is_not_stored(dicomweb: DicomwebSite, make_ct: MakeCt) -> None:
    answer = post(dicomweb, message(encoded(make_ct(1))), study="1.2.77")
    assert (answer.status_code, failures(answer)) == (409, [0xA900])

    assert post(dicomweb, message(encoded(make_ct(1))), study="1.2").status_code == 200


def test_a_full_disk_is_answered_503_so_that_the_sender_tries_again(
    start_dicomweb: StartDicomweb, make_ct: MakeCt, tmp_path: Path
) -> None:
    full = NodeSettings(data_dir=tmp_path / "node", min_free_mb=1 << 40)
    answer = post(start_dicomweb(node=full), message(encoded(make_ct(1))))

    assert (answer.status_code, failures(answer)) == (503, [0xA700])
    assert answer.headers["Retry-After"] == "60"


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/dicom", 415),
        ('multipart/related; type="application/dicom+json"; boundary=b', 415),
        ("multipart/form-data; boundary=b", 415),
        ('multipart/related; type="application/dicom"', 400),
        (f'multipart/related; type="application/dicom"; boundary={"b" * 300}', 400),
        ("Multipart/Related; boundary=b; type=application/DICOM", 200),
    ],
)
def test_only_multipart_dicom_is_accepted(
    dicomweb: DicomwebSite, make_ct: MakeCt, content_type: str, status: int
) -> None:
    answer = post(dicomweb, message(encoded(make_ct(1))), **{"Content-Type": content_type})

    assert answer.status_code == status


@pytest.mark.parametrize(
    "body", [b"", b"--b--\r\n", b"--b\r\nno header\r\n\r\n", b"--c\r\n\r\nother boundary\r\n--c--"]
)
def test_a_body_without_an_instance_is_answered_400(dicomweb: DicomwebSite, body: bytes) -> None:
    assert post(dicomweb, body).status_code == 400


def test_what_came_before_the_end_of_a_truncated_body_is_stored_and_the_rest_named(
    dicomweb: DicomwebSite, make_ct: MakeCt
) -> None:
    answer = post(dicomweb, message(encoded(make_ct(1)), encoded(make_ct(2)))[:-20])

    assert (answer.status_code, failures(answer)) == (202, [0xC000])
    assert dicomweb.journal.series.stored_uids("1.2.3") == ("1.2.3.1",)


def test_a_request_that_is_too_long_is_answered_413_whether_it_says_its_length_or_not(
    start_dicomweb: StartDicomweb, make_ct: MakeCt
) -> None:
    site = start_dicomweb(max_request_mb=1)
    body = message(encoded(make_ct(1, size=1024)))

    assert post(site, body).status_code == 413
    assert post(site, iter([body])).status_code == 413  # chunked: without Content-Length
    assert site.journal.series.stored_uids("1.2.3") == ()


def test_a_part_that_is_too_long_is_named_and_the_next_one_stored(
    dicomweb: DicomwebSite, make_ct: MakeCt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_body, "MOST_INSTANCE_BYTES", 100_000)
    answer = post(dicomweb, message(encoded(make_ct(1, size=256)), encoded(make_ct(2))))

    assert (answer.status_code, failures(answer)) == (202, [0xA700])
    assert dicomweb.journal.series.stored_uids("1.2.3") == ("1.2.3.2",)


def test_a_sender_that_stops_in_the_middle_is_disconnected_and_keeps_what_was_stored(
    start_dicomweb: StartDicomweb, make_ct: MakeCt, tmp_path: Path
) -> None:
    site = start_dicomweb(node=NodeSettings(data_dir=tmp_path / "node", min_free_mb=0, network_timeout_s=0.5))
    body = message(encoded(make_ct(1)), encoded(make_ct(2)))
    head = (
        "POST /dicom-web/studies HTTP/1.1\r\nHost: node\r\nConnection: close\r\n"
        f"Authorization: Bearer {TOKEN}\r\nContent-Length: {len(body)}\r\n"
        "Content-Type: multipart/related; type=application/dicom; boundary=b\r\n\r\n"
    )
    port = int(site.url.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(head.encode() + body[:-1000])
        answer = connection.makefile("rb").read().decode()

    assert answer.startswith("HTTP/1.1 202")
    assert json.loads(answer.split("\r\n\r\n")[1])["00081199"]["Value"][0]["00081155"]["Value"] == ["1.2.3.1"]
    assert site.journal.series.stored_uids("1.2.3") == ("1.2.3.1",)


# -- who may send --


@pytest.mark.parametrize(("token", "status"), [("", 401), ("token-of-nobody-at-all", 401), (READER_TOKEN, 403)])
def test_only_a_peer_that_may_send_may_store(
    dicomweb: DicomwebSite, make_ct: MakeCt, token: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    answer = post(dicomweb, message(encoded(make_ct(1))), token=token)

    assert answer.status_code == status
    assert answer.headers.get("WWW-Authenticate") == ("Bearer" if status == 401 else None)
    assert dicomweb.journal.series.stored_uids("1.2.3") == ()
    assert "token-of" not in caplog.text


def test_requests_without_a_token_come_from_the_peer_that_the_configuration_names(
    start_dicomweb: StartDicomweb, make_ct: MakeCt
) -> None:
    site = start_dicomweb(peer_without_token="sender")

    assert post(site, message(encoded(make_ct(1))), token="").status_code == 200
    assert post(site, message(encoded(make_ct(1))), token="token-of-nobody-at-all").status_code == 401
    (row,) = site.journal.series.instances(["1.2.3.1"])
    assert row.calling_ae_title == SENDER.ae_title


def test_logs_have_no_patient_data(dicomweb: DicomwebSite, make_ct: MakeCt, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "dicom_node")
    post(dicomweb, message(encoded(make_ct(1)), b"SECRET"))
    requests.get(
        f"{dicomweb.url}/studies?PatientName=SECRET*",
        headers={"Authorization": f"Bearer {READER_TOKEN}"},
        timeout=10,
    )

    assert "STOW-RS from sender answered 202: 1 of 2 instances stored" in caplog.text
    assert "SECRET" not in caplog.text
