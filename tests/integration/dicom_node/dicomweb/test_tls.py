"""TLS of the DICOMweb server and of its clients, with a certificate that no public authority has signed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_node.errors import PacsUnavailable, SettingsError
from dicom_node.network.stow import StowClient
from dicom_node.settings import NodeSettings, Peer
from tests.fixtures.dicom_node.dicomweb_site import TOKEN, StartDicomweb

MakeCt = Callable[..., Dataset]


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """A certificate of 127.0.0.1 and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the PATH")
    files = {"tls_certificate": str(tmp_path / "certificate.pem"), "tls_key": str(tmp_path / "key.pem")}
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=node", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    out = ["-out", files["tls_certificate"], "-keyout", files["tls_key"]]
    subprocess.run([*command, *names, *out], check=True, capture_output=True)
    return files


def client(url: str, **settings: str) -> StowClient:
    known = {"name": "archive", "ae_title": "ARCHIVE", "dicomweb_authorization": f"Bearer {TOKEN}"}
    return StowClient(Peer.model_validate(known | {"dicomweb_url": url} | settings), NodeSettings())


def test_a_document_is_sent_only_to_a_server_whose_certificate_is_known(
    start_dicomweb: StartDicomweb, certificate: dict[str, str], make_ct: MakeCt, tmp_path: Path
) -> None:
    make_ct(1).save_as(tmp_path / "1.dcm", enforce_file_format=True)
    url = start_dicomweb(**certificate).url.replace("http:", "https:")

    with pytest.raises(PacsUnavailable, match="archive: STOW-RS: SSLError"):
        list(client(url).store([tmp_path / "1.dcm"]))
    with pytest.raises(SettingsError, match="dicomweb_ca of archive cannot be read"):
        list(client(url, dicomweb_ca="/nowhere.pem").store([tmp_path / "1.dcm"]))
    known = client(url, dicomweb_ca=certificate["tls_certificate"])
    assert [outcome.error for outcome in known.store([tmp_path / "1.dcm"])] == [None]


def test_a_certificate_that_cannot_be_read_is_a_wrong_setting(
    start_dicomweb: StartDicomweb, certificate: dict[str, str]
) -> None:
    for wrong in ({"tls_key": "/nowhere.pem"}, {"tls_key": certificate["tls_certificate"]}):
        with pytest.raises(SettingsError, match=r"dicomweb\.tls_certificate and dicomweb\.tls_key cannot be read"):
            start_dicomweb(**certificate | wrong)
