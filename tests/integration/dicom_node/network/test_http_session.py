"""HTTP with a peer: whom we speak to, what we send, and what a peer can make us do."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_node.errors import PacsUnavailable, SettingsError
from dicom_node.network.dicomweb import DicomwebSource
from dicom_node.network.scu import Retrieval
from dicom_node.network.stow import StowClient
from dicom_node.priors.patient_identity import PatientIdentity
from dicom_node.priors.query import study_query
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.dataset_header import split_file
from dicom_node.storage.receiver import ReceivedInstance
from tests.fixtures.certificates import PASSPHRASE, Authority

ROOT = Path(__file__).parents[4]
QUERY = study_query(PatientIdentity(patient_id="SECRET-ID"))
NODE = NodeSettings(connect_timeout_s=0.5, network_timeout_s=1.0)
EMPTY_LIST = b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\nContent-Length: 2\r\n\r\n[]"
MakeCt = Callable[..., Dataset]


def peer(port: int, scheme: str = "http", **settings: object) -> Peer:
    known = {"name": "web", "ae_title": "WEB", "retrieve": "wado", "query_priors": True}
    return Peer.model_validate(known | {"dicomweb_url": f"{scheme}://127.0.0.1:{port}/dicom-web"} | settings)


def source(port: int, scheme: str = "http", **settings: object) -> DicomwebSource:
    return source_of(peer(port, scheme, **settings))


def source_of(peer: Peer, **settings: object) -> DicomwebSource:
    return DicomwebSource(peer, NODE.model_copy(update=settings), on_instance=lambda _uid, _file: None)


class Server:
    """Answers each connection by a function of its own, byte by byte if need be; `requests` are their heads."""

    def __init__(self, answer: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[str] = []
        self._answer, self._tls = answer, tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the end of the test
            while True:
                connection, _ = self._listening.accept()
                with contextlib.suppress(OSError), connection:
                    connection.settimeout(5)
                    self._speak(connection)

    def _speak(self, connection: socket.socket) -> None:
        speaking = self._tls.wrap_socket(connection, server_side=True) if self._tls else connection
        with speaking:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (received := speaking.recv(4096)):
                    return
                head += received
            self.requests.append(head.decode())
            self._answer(speaking)
            speaking.shutdown(socket.SHUT_WR)
            with contextlib.suppress(OSError):
                while speaking.recv(65536):  # the rest of a body
                    pass


def says(text: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(text)


# -- whom we speak to --


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_not_followed(status: int) -> None:
    with Server(says(EMPTY_LIST)) as other:
        to_other = f"HTTP/1.1 {status} Go\r\nLocation: http://127.0.0.1:{other.port}/\r\nContent-Length: 0\r\n\r\n"
        with Server(says(to_other.encode())) as server:
            with pytest.raises(PacsUnavailable, match=f"^web: QIDO-RS: HTTP status {status}$"):
                source(server.port, dicomweb_authorization="Bearer token").find(QUERY)
            with pytest.raises(PacsUnavailable, match=f"^web: WADO-RS: HTTP status {status}$"):
                source(server.port, dicomweb_authorization="Bearer token").retrieve("1.2", "1.2.3")
            assert len(server.requests) == 2
        assert other.requests == []


def test_a_proxy_or_password_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("no_proxy", raising=False)
    with Server(says(EMPTY_LIST)) as proxy, Server(says(EMPTY_LIST)) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert source(server.port).find(QUERY) == []

        assert proxy.requests == []
        assert "Authorization" not in server.requests[0]


# -- TLS --


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(folder=tmp_path_factory.mktemp("authority"))


@pytest.fixture
def make_tls(authority: Authority) -> Callable[..., ssl.SSLContext]:
    def make(name: str = "pacs", days: int = 1, *, asks: bool = False) -> ssl.SSLContext:
        signed = authority.sign(name, "IP:127.0.0.1", days=days)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(signed.certificate, signed.key)
        if asks:
            context.load_verify_locations(authority.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    return make


MakeTls = Callable[..., ssl.SSLContext]


def test_a_certificate_of_the_hospitals_own_authority_is_trusted_only_where_it_is_configured(
    authority: Authority, make_tls: MakeTls, tmp_path: Path, make_ct: MakeCt
) -> None:
    make_ct(1).save_as(tmp_path / "1.dcm", enforce_file_format=True)
    with Server(says(EMPTY_LIST), make_tls()) as server:
        assert source(server.port, "https", dicomweb_ca=str(authority.ca)).find(QUERY) == []
        for with_ca in ({}, {"dicomweb_ca": str(Authority(folder=tmp_path / "other").ca)}):
            with pytest.raises(PacsUnavailable, match=r"^web: QIDO-RS: SSLError$"):
                source(server.port, "https", dicomweb_authorization="Bearer token", **with_ca).find(QUERY)
            with pytest.raises(PacsUnavailable, match=r"^web: STOW-RS: SSLError$"):
                list(StowClient(peer(server.port, "https", **with_ca), NODE).store([tmp_path / "1.dcm"]))
        assert len(server.requests) == 1


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
@pytest.mark.parametrize("wrong", ["expired", "TLS 1.1", "plain"])
def test_a_server_that_is_not_safe_gets_no_request(authority: Authority, make_tls: MakeTls, wrong: str) -> None:
    tls: ssl.SSLContext | None = make_tls("expired", -1) if wrong == "expired" else make_tls()
    if wrong == "TLS 1.1":
        assert tls is not None
        tls.set_ciphers("ALL:@SECLEVEL=0")
        tls.minimum_version, tls.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with Server(says(EMPTY_LIST), None if wrong == "plain" else tls) as server:
        with pytest.raises(PacsUnavailable, match=r"^web: QIDO-RS: \w+$"):
            source(server.port, "https", dicomweb_ca=str(authority.ca)).find(QUERY)
        assert not any("SECRET" in request for request in server.requests)


def test_a_certificate_of_ours_is_shown_to_a_server_that_asks_for_one(authority: Authority, make_tls: MakeTls) -> None:
    ours = authority.sign("node", "IP:127.0.0.1")
    known = {"dicomweb_ca": str(authority.ca)}
    shown = known | {"dicomweb_certificate": str(ours.certificate)}
    with Server(says(EMPTY_LIST), make_tls(asks=True)) as server:
        assert source(server.port, "https", **shown, dicomweb_key=str(ours.key)).find(QUERY) == []
        locked = shown | {"dicomweb_key": str(ours.locked_key)}
        assert source(server.port, "https", **locked, dicomweb_key_passphrase=PASSPHRASE).find(QUERY) == []
        with pytest.raises(PacsUnavailable, match="QIDO-RS"):
            source(server.port, "https", **known).find(QUERY)
        for passphrase in ("", "wrong"):
            with pytest.raises(SettingsError, match=r"^peers: dicomweb_certificate and dicomweb_key of web cannot be"):
                source(server.port, "https", **locked, dicomweb_key_passphrase=passphrase)


def test_a_file_of_certificates_that_cannot_be_read_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "text.pem").write_text("no certificate")
    for wrong in ("/nowhere.pem", str(tmp_path / "text.pem")):
        with pytest.raises(SettingsError, match=r"^peers: dicomweb_ca of web cannot be read: "):
            source(1, "https", dicomweb_ca=wrong)


# -- what a peer can make us do --


def test_an_instance_is_passed_on_byte_by_byte_and_what_is_none_is_counted(make_ct: MakeCt, tmp_path: Path) -> None:
    for number in (1, 2):
        make_ct(number).save_as(tmp_path / f"{number}.dcm", enforce_file_format=True)
    files = [(tmp_path / f"{number}.dcm").read_bytes() for number in (1, 2)]
    parts = b"".join(b"--b\r\n\r\n" + content + b"\r\n" for content in (files[0], b"no DICOM", files[1])) + b"--b--"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/related; boundary=b\r\n\r\n"
    received: list[tuple[str, bytes]] = []

    def keep(uid: str, read: Callable[[], ReceivedInstance]) -> None:
        encoded = read().encoded
        assert isinstance(encoded, memoryview)
        received.append((uid, bytes(encoded)))

    with Server(says(head + parts)) as server:
        asking = DicomwebSource(peer(server.port), NODE, keep)
        assert asking.retrieve("1.2", "1.2.3") == Retrieval(completed=2, failed=1)
    assert received == [(f"1.2.3.{number}", bytes(split_file(file)[1])) for number, file in enumerate(files, start=1)]


ENDLESS = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\n\r\n"


def test_an_answer_of_300_mb_is_ended_at_4_mib_and_not_held_in_memory() -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/dicom+json\r\n\r\n[")
        for _ in range(300):
            connection.sendall(b'{"00100010":{}},' * 65536)

    code = (
        "import resource, sys\n"
        "from dicom_node.network.dicomweb import *\n"
        "from dicom_node.priors.query import *\n"
        "url = f'http://127.0.0.1:{sys.argv[1]}/dicom-web'\n"
        "peer = Peer(name='web', ae_title='WEB', dicomweb_url=url)\n"
        "asking = DicomwebSource(peer, NodeSettings(), print)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: asking.find(series_query('1.2'))\n"
        "except PacsUnavailable as error: print(error)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)\n"
    )
    with Server(flood) as server:
        command = [sys.executable, "-c", code, str(server.port)]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    message, grown_mb = ran.stdout.splitlines()
    assert message == "web: QIDO-RS: the answer has more than 4 MiB (the limit of an answer that is no series)"
    assert int(grown_mb) < 40


def test_a_series_is_ended_at_the_limit_of_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dicom_node.network.dicomweb.MOST_INSTANCE_BYTES", 1 << 20)

    def flood(connection: socket.socket) -> None:
        connection.sendall(ENDLESS)
        while True:
            connection.sendall(bytes(1 << 16))

    with (
        Server(flood) as server,
        pytest.raises(PacsUnavailable, match=r"2 MiB \(node.priors_size_limit_mb\)$") as ended,
    ):
        source_of(peer(server.port), priors_size_limit_mb=2).retrieve("1.2", "1.2.3")
    assert ended.value.status == 200


def drip(text: bytes, pause_s: float = 0.2) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        for byte in text * 100:
            connection.sendall(bytes([byte]))
            time.sleep(pause_s)

    return answer


DRIPPING = {
    "status line": (b"", drip(b"HTTP/1.1 200 OK and more ")),
    "headers": (b"HTTP/1.1 200 OK\r\n", drip(b"X-More: of it\r\n")),
    "interim answers": (b"", drip(b"HTTP/1.1 100 Continue\r\n\r\n", 0.01)),
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", drip(b"[")),
    "size of a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", drip(b"0")),
}


@pytest.mark.parametrize("part", DRIPPING)
def test_an_answer_that_comes_byte_by_byte_ends_at_the_deadline(part: str) -> None:
    start, rest = DRIPPING[part]

    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        rest(connection)

    begun_at = time.monotonic()
    with Server(answer) as server, pytest.raises(PacsUnavailable, match=r"^web: QIDO-RS: no whole answer in \d s$"):
        source(server.port).find(QUERY)
    assert time.monotonic() - begun_at < 10


@pytest.mark.parametrize("part", ["headers", "size of a chunk"])
def test_an_answer_that_breaks_off_is_not_taken_for_one_without_matches(part: str) -> None:
    with Server(says(DRIPPING[part][0] + b"X")) as server, pytest.raises(PacsUnavailable, match="web: QIDO-RS: "):
        source(server.port).find(QUERY)


def test_a_handshake_that_never_ends_is_ended(make_tls: MakeTls) -> None:
    make_tls()  # skips without openssl
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(PacsUnavailable, match="QIDO-RS"):
        source(silent.getsockname()[1], "https").find(QUERY)


def test_a_call_ends_at_once_when_another_thread_aborts_it() -> None:
    started = threading.Event()

    def hang(_: socket.socket) -> None:
        started.set()
        time.sleep(1)

    with Server(hang) as server:
        asking = source_of(peer(server.port), network_timeout_s=60.0)

        def abort() -> None:
            started.wait(5)
            asking.abort()

        aborting = threading.Thread(target=abort)
        aborting.start()
        with pytest.raises(PacsUnavailable, match=r"^web: QIDO-RS: aborted by us$"):
            asking.find(QUERY)
        aborting.join()


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b"7", b"null", b'{"a": 1}', b'[{"00100010": 1}]', b'[{"7FE00010": {"vr": "SQ", "Value": [1]}}]'],
)
def test_a_search_answered_with_something_else_is_an_error_of_the_peer(body: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with Server(says(head + body)) as server, pytest.raises(PacsUnavailable, match=r"^web: QIDO-RS: no DICOM JSON \("):
        source(server.port).find(QUERY)


def test_a_compressed_answer_which_nobody_asked_for_is_refused() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"
    with Server(says(head)) as server, pytest.raises(PacsUnavailable, match="compressed, which was not asked for"):
        source(server.port).find(QUERY)
