"""The DICOMweb server and clients that it does not know, or that are slow: they keep no peer out."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from pydicom import Dataset

from dicom_node.dicomweb import access, connections, request_body
from dicom_node.dicomweb.request_body import BodyMemory, EarlyEnd
from dicom_node.network.multipart import PartReader
from dicom_node.settings import DicomwebSettings, NodeSettings
from tests.fixtures.certificates import PASSPHRASE, Authority
from tests.fixtures.dicom_node.dicomweb_site import READER_TOKEN, TOKEN, DicomwebSite, StartDicomweb
from tests.fixtures.waiting import wait_until

MakeCt = Callable[..., Dataset]
WELL_KNOWN = {"Authorization": f"Bearer {READER_TOKEN}"}


@pytest.fixture
def hurried(start_dicomweb: StartDicomweb, tmp_path: Path) -> DicomwebSite:
    """A server that waits a second at most, for a head as for a body."""
    node = NodeSettings(
        data_dir=tmp_path / "node", min_free_mb=0, max_associations=1, connect_timeout_s=1.0, network_timeout_s=1.0
    )
    return start_dicomweb(node=node)


def port(site: DicomwebSite) -> int:
    return int(site.url.split(":")[2].split("/")[0])


@contextlib.contextmanager
def connected(site: DicomwebSite, count: int = 1) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        address = ("127.0.0.1", port(site))
        yield [stack.enter_context(socket.create_connection(address, timeout=10)) for _ in range(count)]


def search(site: DicomwebSite) -> int:
    return requests.get(f"{site.url}/studies", headers=WELL_KNOWN, timeout=10).status_code


def is_closed(connection: socket.socket) -> bool:
    """Whether the server closes the connection before the timeout of the socket."""
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(4096):
            pass
    return True


def drip(connection: socket.socket, text: bytes) -> bool:
    """Send a text again and again, byte by byte; whether the server closes the connection."""
    until = time.monotonic() + 10
    with contextlib.suppress(OSError):
        while time.monotonic() < until:
            connection.sendall(text)
            time.sleep(0.1)
    return time.monotonic() < until


def test_connections_that_say_nothing_keep_no_peer_out_and_are_closed(hurried: DicomwebSite) -> None:
    with connected(hurried, 60) as silent:
        assert search(hurried) == 204
        assert all(is_closed(connection) for connection in silent)


@pytest.mark.parametrize(
    "start",
    [
        b"GET /dicom-web/studies HTTP/1.1\r\nHost: node\r\n",
        b"POST /dicom-web/studies HTTP/1.1\r\nHost: node\r\nContent-Length: 1000000\r\n\r\n",
        b"GET /dicom-web/studies HTTP/1.1\r\nHost: node\r\n\r\nGET /dicom-web/studies HTTP/1.1\r\n",
    ],
    ids=["head", "body without a token", "second head"],
)
def test_a_stranger_that_sends_byte_by_byte_is_disconnected(hurried: DicomwebSite, start: bytes) -> None:
    with connected(hurried) as (connection,):
        connection.sendall(start)
        assert drip(connection, b"X: of it\r\n")


def test_a_head_without_end_is_refused(hurried: DicomwebSite) -> None:
    with connected(hurried) as (connection,), contextlib.suppress(OSError):
        connection.sendall(b"GET /dicom-web/studies HTTP/1.1\r\n" + b"X-More: of it\r\n" * 10_000)
        assert connection.makefile("rb").readline().startswith(b"HTTP/1.1 400")


def test_one_address_has_a_limited_number_of_connections(
    hurried: DicomwebSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_OF_ONE_ADDRESS", 3)
    with connected(hurried, 4):
        assert search(hurried) == 204  # this machine's own: a proxy may stand there
    monkeypatch.setattr(connections, "is_loopback", lambda _: False)
    with connected(hurried, 4) as opened:
        assert is_closed(opened[3])
        opened[3].close()
        opened[2].close()
        wait_until(lambda: search(hurried) == 204)


def test_a_body_that_comes_byte_by_byte_ends_and_gives_its_slot_back(hurried: DicomwebSite, make_ct: MakeCt) -> None:
    head = (
        f"POST /dicom-web/studies HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Length: 1000000\r\n"
        "Content-Type: multipart/related; type=application/dicom; boundary=b\r\n\r\n--b\r\n\r\n"
    )
    with connected(hurried) as (connection,):
        connection.sendall(head.encode())
        content_type = "multipart/related; type=application/dicom; boundary=b"
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": content_type}
        wait_until(lambda: requests.post(f"{hurried.url}/studies", b"", headers=headers, timeout=10).status_code == 503)
        assert drip(connection, b"x")
    assert requests.post(f"{hurried.url}/studies", b"", headers=headers, timeout=10).status_code == 400


def test_what_all_requests_hold_in_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_body, "MOST_INSTANCE_BYTES", 100)
    memory, readers = BodyMemory(), [PartReader(b"b", 100) for _ in range(2)]
    for reader in readers:
        reader.feed(b"--b\r\n\r\n" + bytes(70))

    memory.require(readers[0])
    with pytest.raises(EarlyEnd) as refused:
        memory.require(readers[1])
    assert refused.value.http_status == 503
    memory.forget(readers[0])
    memory.require(readers[1])


# -- who may connect --


def test_a_request_without_a_token_from_another_machine_is_refused(
    start_dicomweb: StartDicomweb, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = start_dicomweb(peer_without_token="reader")
    assert requests.get(f"{site.url}/studies", timeout=10).status_code == 204

    monkeypatch.setattr(access, "is_loopback", lambda _: False)
    assert requests.get(f"{site.url}/studies", timeout=10).status_code == 401
    assert "DICOMweb request from 127.0.0.1 answered 401" in caplog.text


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "pacs.example"])
def test_other_machines_may_not_connect_without_tls_unless_the_configuration_says_so(host: str) -> None:
    with pytest.raises(ValueError, match="tokens would come without TLS"):
        DicomwebSettings(enabled=True, host=host)
    assert DicomwebSettings(enabled=True, host=host, plain_http=True).host == host
    assert DicomwebSettings(enabled=True, host=host, tls_certificate="a", tls_key="b").host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_this_machine_may_connect_without_tls(host: str) -> None:
    assert DicomwebSettings(enabled=True, host=host).host == host


def test_a_client_shows_a_certificate_if_the_server_asks_for_one(start_dicomweb: StartDicomweb, tmp_path: Path) -> None:
    authority, other = Authority(folder=tmp_path / "ca"), Authority(folder=tmp_path / "other")
    server = authority.sign("node", "IP:127.0.0.1")
    site = start_dicomweb(
        tls_certificate=str(server.certificate),
        tls_key=str(server.locked_key),
        tls_key_passphrase=PASSPHRASE,
        tls_client_ca=str(authority.ca),
    )
    url = f"{site.url.replace('http:', 'https:')}/studies"
    shown = {name: who.sign(name) for name, who in (("archive", authority), ("stranger", other))}

    def status(name: str) -> int:
        files = (str(shown[name].certificate), str(shown[name].key))
        return requests.get(url, headers=WELL_KNOWN, timeout=10, verify=str(authority.ca), cert=files).status_code

    assert status("archive") == 204
    with pytest.raises(requests.ConnectionError):
        status("stranger")
    with pytest.raises(requests.ConnectionError):
        requests.get(url, headers=WELL_KNOWN, timeout=10, verify=str(authority.ca))


def test_tls_1_1_and_plain_text_are_refused(start_dicomweb: StartDicomweb, tmp_path: Path) -> None:
    server = Authority(folder=tmp_path / "ca").sign("node", "IP:127.0.0.1")
    site = start_dicomweb(tls_certificate=str(server.certificate), tls_key=str(server.key))
    old = ["openssl", "s_client", "-connect", f"127.0.0.1:{port(site)}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]

    assert subprocess.run(old, capture_output=True, input=b"", check=False).returncode != 0
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{site.url}/studies", headers=WELL_KNOWN, timeout=10)
