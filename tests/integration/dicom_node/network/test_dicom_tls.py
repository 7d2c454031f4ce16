"""DICOM over TLS in both roles, with dcmtk, openssl and pynetdicom on the other side."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from pynetdicom import AE
from pynetdicom.presentation import build_context

from dicom_node.errors import PacsUnavailable, SettingsError
from dicom_node.network.scu import PacsClient
from dicom_node.settings import NodeSettings, Peer
from tests.conftest import CLOSES_ITS_SOCKET
from tests.fixtures.certificates import Authority, CertificateFiles
from tests.fixtures.dicom_node.pdus import CT, VERIFICATION, association_request
from tests.fixtures.ports import free_port, is_listening
from tests.fixtures.waiting import wait_until

WriteCt = Callable[..., list[Path]]


class RunningScp(Protocol):
    node: NodeSettings
    port: int
    tls_port: int | None

    def files(self) -> list[Path]: ...


StartScp = Callable[..., RunningScp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pki:
    """An authority, our certificate and the peer's."""

    authority: Authority
    ours: CertificateFiles
    theirs: CertificateFiles


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(folder=tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def pki(authority: Authority, ours: CertificateFiles, theirs: CertificateFiles) -> Pki:
    return Pki(authority=authority, ours=ours, theirs=theirs)


@pytest.fixture(scope="module")
def ours(authority: Authority) -> CertificateFiles:
    return authority.sign("node", "IP:127.0.0.1,DNS:node.example")


@pytest.fixture(scope="module")
def theirs(authority: Authority) -> CertificateFiles:
    """The certificate of the peer, which names its host."""
    return authority.sign("sender", "IP:127.0.0.1")


def tls_settings(authority: Authority, ours: CertificateFiles) -> dict[str, object]:
    return {
        "tls_certificate": str(ours.certificate),
        "tls_key": str(ours.key),
        "tls_ca": str(authority.ca),
    }


SECURE_SENDER = Peer(name="sender", ae_title="SENDER", host="127.0.0.1", port=1, may_send=True, tls=True)


@pytest.fixture
def scp(start_scp: StartScp, authority: Authority, ours: CertificateFiles) -> RunningScp:
    return start_scp(SECURE_SENDER, tls="also", tls_port=0, association_timeout_s=5.0, **tls_settings(authority, ours))


def dcmtk(name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    if not Path(f"/usr/bin/{name}").exists():
        pytest.skip(f"no /usr/bin/{name}: dcmtk is not installed")
    command = [f"/usr/bin/{name}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def echo(port: int | None, authority: Authority, *how: object) -> bool:
    options = ["-aet", "SENDER", "-aec", "LUNGNODE", *how, "+cf", authority.ca]
    return dcmtk("echoscu", *options, "127.0.0.1", port).returncode == 0


def refusal(caplog: pytest.LogCaptureFixture) -> str:
    """Return the one line of a refused connection."""
    wait_until(lambda: caplog.messages, 5)
    (line,) = caplog.messages
    return line


# -- we accept --


@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
def test_a_peer_echoes_and_stores_over_tls(
    scp: RunningScp, authority: Authority, theirs: CertificateFiles, write_ct: WriteCt, profile: str
) -> None:
    identity = ["+tls", theirs.key, theirs.certificate, profile]
    assert echo(scp.tls_port, authority, *identity)

    options = ["-aet", "SENDER", "-aec", "LUNGNODE", *identity, "+cf", authority.ca]
    assert dcmtk("storescu", *options, "127.0.0.1", scp.tls_port, *write_ct(2)).returncode == 0
    assert len(scp.files()) == 2


def test_the_line_of_an_association_has_version_and_cipher(
    scp: RunningScp, authority: Authority, theirs: CertificateFiles, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dicom_node")

    assert echo(scp.tls_port, authority, "+tls", theirs.key, theirs.certificate)

    wait_until(lambda: any("was released" in line for line in caplog.messages), 5)
    (opened,) = (line for line in caplog.messages if line.endswith("accepted"))
    assert opened.startswith("association of sender ('SENDER' at 127.0.0.1, TLSv1.")
    assert "GCM" in opened


def test_pynetdicom_stores_over_tls_1_3(
    scp: RunningScp, authority: Authority, theirs: CertificateFiles, write_ct: WriteCt
) -> None:
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.load_cert_chain(theirs.certificate, theirs.key)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    association = AE("SENDER").associate(
        "127.0.0.1",
        scp.tls_port or 0,
        [build_context(CT)],
        "LUNGNODE",
        tls_args=(context, "127.0.0.1"),
        evt_handlers=[CLOSES_ITS_SOCKET],
    )
    statuses = [association.send_c_store(file).Status for file in write_ct(3)]
    association.release()

    assert statuses == [0x0000] * 3
    assert len(scp.files()) == 3


def test_a_certificate_of_another_authority_is_refused(
    scp: RunningScp, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    foreign = Authority(folder=tmp_path / "foreign", name="Foreign CA").sign("sender", "IP:127.0.0.1")

    assert not echo(scp.tls_port, authority, "+tls", foreign.key, foreign.certificate)
    assert refusal(caplog) == (
        "connection from 127.0.0.1 ended without an association: TLS: unable to get local issuer certificate"
    )


def test_an_expired_certificate_is_refused(
    scp: RunningScp, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    expired = authority.sign("expired", "IP:127.0.0.1", days=-1)

    assert not echo(scp.tls_port, authority, "+tls", expired.key, expired.certificate)
    assert refusal(caplog) == "connection from 127.0.0.1 ended without an association: TLS: certificate has expired"


def test_a_peer_without_a_certificate_is_refused(
    scp: RunningScp, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    assert not echo(scp.tls_port, authority, "+tla")
    assert "TLS: peer did not return a certificate" in refusal(caplog)


def test_without_mutual_tls_a_peer_needs_no_certificate(
    start_scp: StartScp, authority: Authority, ours: CertificateFiles
) -> None:
    settings = tls_settings(authority, ours) | {"tls_mutual": False}
    scp = start_scp(SECURE_SENDER, tls="only", tls_port=0, **settings)

    assert echo(scp.tls_port, authority, "+tla")
    assert scp.port == scp.tls_port


def test_a_certificate_of_another_host_is_refused(
    scp: RunningScp, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    other = authority.sign("other", "IP:127.0.0.9,DNS:other.example")

    assert not echo(scp.tls_port, authority, "+tls", other.key, other.certificate)
    assert refusal(caplog) == (
        "connection from 127.0.0.1 ('SENDER') rejected: its certificate has none of the peer's tls_names"
    )


def test_a_certificate_is_known_by_its_fingerprint(
    start_scp: StartScp, authority: Authority, ours: CertificateFiles
) -> None:
    own = authority.sign("scanner-17")
    peer = SECURE_SENDER.model_copy(update={"tls_names": (own.fingerprint,)})
    scp = start_scp(peer, tls="only", tls_port=0, **tls_settings(authority, ours))

    assert echo(scp.tls_port, authority, "+tls", own.key, own.certificate)


def s_client(port: int | None, *options: str) -> str:
    """Connect with openssl, and return what it says."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-brief", *options]
    done = subprocess.run(command, input="", capture_output=True, text=True, check=False, timeout=20)
    return done.stdout + done.stderr


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_an_old_version_of_tls_is_refused(scp: RunningScp, caplog: pytest.LogCaptureFixture, version: str) -> None:
    said = s_client(scp.tls_port, version, "-cipher", "ALL:@SECLEVEL=0")

    assert "CONNECTION ESTABLISHED" not in said
    assert "alert protocol version" in said
    assert "TLS: unsupported protocol" in refusal(caplog)


@pytest.mark.parametrize("cipher", ["AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "AES256-GCM-SHA384"])
def test_a_cipher_that_bcp_195_does_not_recommend_is_refused(scp: RunningScp, cipher: str) -> None:
    said = s_client(scp.tls_port, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")

    assert "CONNECTION ESTABLISHED" not in said


def test_plain_dicom_on_the_port_of_tls_is_refused(scp: RunningScp, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_connection(("127.0.0.1", scp.tls_port or 0), 5) as connection:
        connection.sendall(association_request(abstract_syntax=VERIFICATION))
        while connection.recv(4096):  # a TLS alert, and the end
            pass

    assert "ended without an association: TLS: " in refusal(caplog)


def test_tls_on_the_port_of_plain_dicom_is_refused(
    scp: RunningScp, authority: Authority, theirs: CertificateFiles, caplog: pytest.LogCaptureFixture
) -> None:
    assert not echo(scp.port, authority, "+tls", theirs.key, theirs.certificate)
    assert refusal(caplog) == "connection from 127.0.0.1 ended without an association: it began with TLS"


def test_a_peer_that_needs_tls_is_rejected_without(
    scp: RunningScp, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    assert dcmtk("echoscu", "-aet", "SENDER", "-aec", "LUNGNODE", "127.0.0.1", scp.port).returncode != 0
    assert refusal(caplog) == "connection from 127.0.0.1 ('SENDER') rejected: the peer with its AE title needs TLS"


def test_handshakes_that_never_end_block_nobody(
    scp: RunningScp, authority: Authority, theirs: CertificateFiles
) -> None:
    silent = [socket.create_connection(("127.0.0.1", scp.tls_port or 0), 5) for _ in range(20)]

    assert echo(scp.tls_port, authority, "+tls", theirs.key, theirs.certificate)
    for connection in silent:
        connection.close()


def test_a_renewed_certificate_is_used_without_a_restart(
    start_scp: StartScp, authority: Authority, tmp_path: Path, theirs: CertificateFiles
) -> None:
    own = Authority(folder=tmp_path / "first", name="First CA")
    first = own.sign("node", "IP:127.0.0.1")
    settings = tls_settings(authority, first)
    scp = start_scp(SECURE_SENDER, tls="only", tls_port=0, **settings)
    identity = ["+tls", theirs.key, theirs.certificate]
    assert not echo(scp.tls_port, authority, *identity)  # the peer does not know the first authority

    renewed = authority.sign("renewed", "IP:127.0.0.1")
    first.key.write_bytes(renewed.key.read_bytes())
    first.certificate.write_bytes(renewed.certificate.read_bytes())

    assert echo(scp.tls_port, authority, *identity)


@pytest.mark.parametrize("wrong", ["tls_certificate", "tls_key", "tls_ca"])
def test_a_file_that_cannot_be_read_is_one_line_at_start(
    start_scp: StartScp, authority: Authority, ours: CertificateFiles, wrong: str
) -> None:
    settings = tls_settings(authority, ours) | {wrong: "/no/such/file.pem"}

    with pytest.raises(SettingsError, match="tls_certificate, tls_key and tls_ca: No such file or directory"):
        start_scp(SECURE_SENDER, tls="only", tls_port=0, **settings)


# -- we request --


@contextmanager
def storescp(folder: Path, authority: Authority, files: CertificateFiles, *options: str) -> Iterator[int]:
    """Run dcmtk's storescp with TLS, and yield its port."""
    if not Path("/usr/bin/storescp").exists():
        pytest.skip("no /usr/bin/storescp: dcmtk is not installed")
    port = free_port()
    folder.mkdir()
    command = ["/usr/bin/storescp", "+tls", files.key, files.certificate, "+cf", authority.ca, *options]
    server = subprocess.Popen([*map(str, command), "-aet", "PACS", "-od", str(folder), str(port)])
    wait_until(lambda: is_listening(port), 10)
    yield port
    server.terminate()
    server.wait()


def client(port: int, authority: Authority, ours: CertificateFiles, *tls_names: str) -> PacsClient:
    peer = Peer(name="pacs", ae_title="PACS", host="127.0.0.1", port=port, tls=True, tls_names=tls_names)
    node = NodeSettings.model_validate({"connect_timeout_s": 2.0} | tls_settings(authority, ours))
    return PacsClient(peer, node)


def test_results_are_delivered_over_tls(
    tmp_path: Path, authority: Authority, ours: CertificateFiles, theirs: CertificateFiles, write_ct: WriteCt
) -> None:
    with storescp(tmp_path / "pacs", authority, theirs) as port:
        outcomes = list(client(port, authority, ours).store(write_ct(3)))

    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert len(list((tmp_path / "pacs").iterdir())) == 3


@pytest.mark.parametrize(
    ("name", "days", "tls_names", "why"),
    [
        ("elsewhere", 2, ("pacs.example",), "the certificate has none of the peer's tls_names"),
        ("elsewhere", 2, ("AB:" * 31 + "CD",), "the certificate has none of the peer's tls_names"),
        ("late", -1, (), "certificate has expired"),
    ],
)
def test_nothing_is_sent_to_a_peer_with_a_wrong_certificate(
    pki: Pki, tmp_path: Path, name: str, days: int, tls_names: tuple[str, ...], why: str
) -> None:
    wrong = pki.authority.sign(name, "IP:127.0.0.1", days=days)
    with storescp(tmp_path / "pacs", pki.authority, wrong) as port, pytest.raises(PacsUnavailable) as raised:
        client(port, pki.authority, pki.ours, *tls_names).echo()

    assert str(raised.value) == f"pacs: no TLS with 127.0.0.1:{port}: {why}"


def test_nothing_is_sent_to_a_peer_of_another_authority_or_without_tls(
    tmp_path: Path, authority: Authority, ours: CertificateFiles
) -> None:
    foreign = Authority(folder=tmp_path / "foreign", name="Foreign CA")
    files = foreign.sign("pacs", "IP:127.0.0.1")
    with (
        storescp(tmp_path / "pacs", authority, files) as port,
        pytest.raises(PacsUnavailable, match="unable to get local issuer certificate"),
    ):
        client(port, authority, ours).echo()
    with socket.create_server(("127.0.0.1", 0)) as plain, pytest.raises(PacsUnavailable, match="no TLS with"):
        client(plain.getsockname()[1], authority, ours).echo()


def test_our_own_client_reaches_our_own_server(scp: RunningScp, authority: Authority, theirs: CertificateFiles) -> None:
    peer = Peer(name="node", ae_title="LUNGNODE", host="127.0.0.1", port=scp.tls_port or 0, tls=True)
    node = NodeSettings.model_validate({"ae_title": "SENDER"} | tls_settings(authority, theirs))

    PacsClient(peer, node).echo()
