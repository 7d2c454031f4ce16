"""The demo's stack: a small PACS, and `lungspread serve` in a process of its own."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.uid import SegmentationStorage

from dicom_node.errors import NodeError, PacsUnavailable
from dicom_node.jobs import JobState
from dicom_node.journal.jobs import JobRecord
from dicom_node.journal.journal import Journal
from dicom_node.network.scu import PacsClient
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.spool import Spool
from worker.demo.pacs import SmallPacs
from worker.settings import Settings, load_settings

PACS_AE_TITLE = "DEMOPACS"
_START_TIMEOUT_S, _JOB_TIMEOUT_S = 60.0, 1800.0
_FINAL_STATES = (JobState.COMMITTED, JobState.REJECTED, JobState.FAILED)

CONFIGURATION = """\
# Written by `lungspread demo`. Use it with `lungspread serve --config`, and send to it from your own PACS.
[node]
ae_title = "LUNGSPREAD"
host = "127.0.0.1"
port = {node_port}
data_dir = "{data_dir}"
quiet_period_s = 3
min_free_mb = 100

[worker]
outputs = ["seg", "sr", "page"]

[[peers]]
name = "pacs"
ae_title = "{pacs_ae_title}"
host = "127.0.0.1"
port = {pacs_port}
may_send = true
send_results = true
query_priors = true
storage_commitment = true
"""


class DemoFailed(NodeError):  # noqa: N818 - named for the fact
    """The demo could not be completed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoFolders:
    """The folders and files that the demo writes."""

    out: Path

    @property
    def phantom(self) -> Path:
        """The generated CT series, one folder each."""
        return self.out / "phantom"

    @property
    def pacs(self) -> Path:
        """The archive of the demo's PACS: CT, SEG and SR."""
        return self.out / "pacs"

    @property
    def pictures(self) -> Path:
        """Pictures and report of each scan, one folder each."""
        return self.out / "pictures"

    @property
    def config(self) -> Path:
        """The configuration, for reuse."""
        return self.out / "lungspread.toml"

    @property
    def log(self) -> Path:
        """The log of the service."""
        return self.out / "service.log"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoStack:
    """Running PACS, node and worker."""

    settings: Settings
    pacs: SmallPacs
    node: Peer

    def send(self, files: Sequence[Path]) -> Iterator[None]:
        """Store files in the PACS, then send them from the PACS to the node, yielding after each. Raises DemoFailed."""
        pacs = Peer(name="pacs", ae_title=PACS_AE_TITLE, host="127.0.0.1", port=self.pacs.port)
        for peer in (pacs, self.node):
            for outcome in _client(peer).store(list(files)):
                if outcome.error is not None:
                    raise DemoFailed(str(outcome.error))
                if peer is self.node:
                    yield

    def wait_for_job(self, series_uid: str) -> JobRecord:
        """Wait until a series is committed, rejected or failed. Raises DemoFailed after 30 minutes."""
        with Journal(self.settings.journal.url_in(self.settings.node.data_dir)) as journal:
            deadline = time.monotonic() + _JOB_TIMEOUT_S
            while time.monotonic() < deadline:
                finished = [
                    record for record in journal.jobs.find(_FINAL_STATES) if record.job.series_uid == series_uid
                ]
                if finished:
                    return finished[-1]
                time.sleep(0.3)
        raise DemoFailed(f"no result after {_JOB_TIMEOUT_S:.0f} s; see service.log")

    def segmentation(self, series_uid: str) -> Dataset | None:
        """Return the SEG of a CT series from the PACS; None if it holds none."""
        for path in self.pacs.stored(SegmentationStorage):
            seg = dcmread(path)
            if seg.ReferencedSeriesSequence[0].SeriesInstanceUID == series_uid:
                return seg
        return None

    def outbox(self, job_key: str) -> Path:
        """Return the folder with the documents, findings.json and report of a job."""
        return Spool(self.settings.node.data_dir).document_path(job_key, "findings.json").parent


@contextmanager
def start_stack(folders: DemoFolders) -> Iterator[DemoStack]:
    """Start PACS and service; stop both at the end. Raises DemoFailed if the service does not start."""
    node_port = _free_port()
    peers = {"LUNGSPREAD": ("127.0.0.1", node_port)}
    with SmallPacs(folder=folders.pacs, ae_title=PACS_AE_TITLE, peers=peers) as pacs:
        folders.config.write_text(
            CONFIGURATION.format(
                node_port=node_port, data_dir=folders.out / "var", pacs_ae_title=PACS_AE_TITLE, pacs_port=pacs.port
            ),
            encoding="utf-8",
        )
        with _service(folders):
            yield DemoStack(settings=load_settings(folders.config), pacs=pacs, node=_wait_for_node(node_port))


@contextmanager
def _service(folders: DemoFolders) -> Iterator[None]:
    """Run `lungspread serve` with its log in a file."""
    with folders.log.open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            [sys.executable, "-m", "worker.cli", "serve", "--config", str(folders.config)],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=60)


def _wait_for_node(port: int) -> Peer:
    node = Peer(name="node", ae_title="LUNGSPREAD", host="127.0.0.1", port=port)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            _client(node).echo()
        except PacsUnavailable as error:
            if time.monotonic() > deadline:
                raise DemoFailed(
                    f"the node did not start in {_START_TIMEOUT_S:.0f} s: {error}; see service.log"
                ) from None
            time.sleep(0.3)
        else:
            return node


def _client(peer: Peer) -> PacsClient:
    return PacsClient(peer, NodeSettings(ae_title=PACS_AE_TITLE))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
