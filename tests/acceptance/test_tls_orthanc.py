"""DICOM over TLS with Orthanc, as client and as server."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from dicom_node.network.scu import PacsClient
from dicom_node.settings import NodeSettings, Peer
from tests.fixtures.certificates import Authority, CertificateFiles
from tests.fixtures.dicom_node.orthanc import running_orthanc
from tests.fixtures.waiting import wait_until


class RunningScp(Protocol):
    tls_port: int | None

    def files(self) -> list[Path]: ...


@contextmanager
def with_tls(folder: Path, node_port: int, authority: Authority, files: CertificateFiles) -> Iterator[tuple[int, str]]:
    """Run Orthanc with TLS in both roles; yield its DICOM port, and the URL of its REST API."""
    with running_orthanc(folder, node_port=node_port) as (dicom, http):
        pass  # it has written its configuration, and is stopped
    configuration = json.loads((folder / "orthanc.json").read_text())
    configuration["DicomModalities"]["node"]["UseDicomTls"] = True
    configuration |= {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(files.certificate),
        "DicomTlsPrivateKey": str(files.key),
        "DicomTlsTrustedCertificates": str(authority.ca),
        "DicomTlsRemoteCertificateRequired": True,
    }
    (folder / "tls.json").write_text(json.dumps(configuration))
    environment = os.environ | {"LD_PRELOAD": str(folder / "loopback.so")}
    with (folder / "tls.log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", folder / "tls.json"], env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{http}"
    try:
        wait_until(lambda: answers(url), 30, (folder / "tls.log").read_text)
        yield dicom, url
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/system") as answer:
            return bool(answer.status == 200)
    except urllib.error.URLError:
        return False


def rest(url: str, body: bytes | None = None) -> list[str]:
    """GET, or POST of a body; return the answer, of a list of series its identifiers."""
    with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:
        return list(json.load(answer))


def test_orthanc_sends_and_receives_over_tls(
    start_scp: Callable[..., RunningScp], tmp_path: Path, write_ct: Callable[..., list[Path]]
) -> None:
    authority = Authority(folder=tmp_path / "ca")
    ours, theirs = authority.sign("node", "IP:127.0.0.1"), authority.sign("orthanc", "IP:127.0.0.1")
    tls = {"tls_certificate": str(ours.certificate), "tls_key": str(ours.key), "tls_ca": str(authority.ca)}
    pacs = Peer(name="pacs", ae_title="ORTHANC", host="127.0.0.1", port=1, may_send=True, tls=True)
    scp = start_scp(pacs, tls="only", tls_port=0, **tls)
    files = write_ct(3)

    with with_tls(tmp_path / "orthanc", scp.tls_port or 0, authority, theirs) as (port, url):
        client = PacsClient(
            pacs.model_copy(update={"port": port}), NodeSettings.model_validate({"ae_title": "LUNGNODE"} | tls)
        )
        assert [outcome.error for outcome in client.store(files)] == [None] * 3
        (series,) = rest(f"{url}/series")
        rest(f"{url}/modalities/node/store", series.encode())

    assert len(scp.files()) == 3
