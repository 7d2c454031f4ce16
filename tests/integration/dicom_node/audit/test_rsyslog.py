"""rsyslog as the audit record repository: it authenticates us, and reads header and message as they were meant."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from lxml import etree

from dicom_node.audit.settings import AuditSettings
from dicom_node.audit.trail import AuditTrail
from dicom_node.settings import NodeSettings
from tests.fixtures.dicom_node.audit_reader import schema
from tests.fixtures.dicom_node.certificates import Authority, Certificate
from tests.fixtures.ports import free_ports, is_listening
from tests.fixtures.waiting import wait_until

RSYSLOG = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
CONFIGURATION = """
global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriver="ossl"
  defaultNetstreamDriverCAFile="{ca}"
  defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/certvalid")
module(load="imudp")
template(name="parts" type="string"
  string="%protocol-version%|%syslogfacility%|%syslogseverity%|%app-name%|%msgid%|%structured-data%|%msg%\\n")
input(type="imtcp" address="127.0.0.1" port="{tls}")
input(type="imudp" address="127.0.0.1" port="{udp}")
action(type="omfile" file="{folder}/received" template="parts")
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rsyslog:
    """A running rsyslog."""

    tls: int
    udp: int
    received: Path
    settings: dict[str, str]
    """What our side needs to be let in."""

    def lines(self) -> list[str]:
        return self.received.read_text(encoding="utf-8").splitlines() if self.received.exists() else []


@pytest.fixture
def rsyslog(tmp_path: Path) -> Iterator[Rsyslog]:
    if not (Path(RSYSLOG).exists() and list(Path("/usr/lib").glob("**/rsyslog/lmnsd_ossl.so"))):
        pytest.skip("no rsyslog with rsyslog-openssl")
    authority, (tls, udp) = Authority(tmp_path), free_ports(2)
    server, ours = authority.sign("repository"), authority.sign("node")
    names = {"folder": tmp_path, "ca": authority.ca, "tls": tls, "udp": udp, **_files(server)}
    (tmp_path / "rsyslog.conf").write_text(CONFIGURATION.format(**names), encoding="ascii")
    command = [RSYSLOG, "-n", "-f", str(tmp_path / "rsyslog.conf"), "-i", str(tmp_path / "pid")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_listening(tls), what="rsyslog")
        yield Rsyslog(tls=tls, udp=udp, received=tmp_path / "received", settings={"ca": authority.ca, **_files(ours)})
    finally:
        process.terminate()
        process.wait()


def _files(files: Certificate) -> dict[str, str]:
    return {"certificate": files.certificate, "key": files.key}


def test_rsyslog_reads_what_we_send(rsyslog: Rsyslog, tmp_path: Path) -> None:
    for scheme, port in (("tls", rsyslog.tls), ("udp", rsyslog.udp)):
        secrets = rsyslog.settings if scheme == "tls" else {}
        settings = {"folder": str(tmp_path / scheme), "syslog": f"{scheme}://127.0.0.1:{port}", **secrets}
        trail = AuditTrail(AuditSettings.model_validate(settings), NodeSettings(ae_title="LUNGNODE"))
        trail.deleted("1.2.3", "retention")
        trail.start()
        assert trail.sender is not None
        trail.sender.step()
        trail.sender.close()
        trail.close()
    wait_until(lambda: len(rsyslog.lines()) >= 4)

    for line in rsyslog.lines():
        *header, message = line.split("|", 6)
        assert header == ["1", "10", "5", "lungspread", "IHE+RFC-3881", "-"]
        schema().assertValid(etree.fromstring(message.lstrip("\ufeff").encode("utf-8")))
