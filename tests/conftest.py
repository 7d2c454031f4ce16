from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import numpy as np
import pytest
from pydicom import Dataset
from pynetdicom import evt

from dicom_node.audit.trail import AuditTrail, no_audit
from dicom_node.delivery.delivery import record_peer_report
from dicom_node.journal.journal import Journal
from dicom_node.network.scp import StorageScp
from dicom_node.network.status import configure_libraries
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.receiver import InstanceReceiver
from dicom_node.storage.spool import Spool
from tests.fixtures import ports
from tests.fixtures.ct_image import ct_image

pytest_plugins = [
    "tests.fixtures.dicom_node.dicomweb_site",
    "tests.fixtures.dicom_node.journals",
    "tests.fixtures.dicom_node.orthanc",
    "tests.fixtures.worker.analysed_series",
]

MakeCt = Callable[..., Dataset]
WriteCt = Callable[..., list[Path]]


def _close_at_the_end(event: evt.Event) -> None:
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        weakref.finalize(event.assoc, connection.socket.close)


CLOSES_ITS_SOCKET: evt.EventHandlerType = (evt.EVT_CONN_OPEN, _close_at_the_end)
"""For a test's own peer: pynetdicom leaves the socket open whose other end has hung up first."""


def make_ct_instance(number: int, series_uid: str = "1.2.3", size: int = 32) -> Dataset:
    """A small axial CT slice; its UID is the series' with the number behind it."""
    stored = np.random.default_rng(number).integers(0, 2000, (size, size), dtype=np.int16)
    slice_ = ct_image(stored, number, (0, 0, number * 2.5), series_uid=series_uid)
    slice_.StudyInstanceUID, slice_.FrameOfReferenceUID = "1.2", "1.2.5"
    slice_.StudyDate, slice_.StudyDescription = "20261101", "CHEST SECRET"
    slice_.SliceThickness, slice_.RescaleIntercept = 2.5, -1024
    return slice_


@pytest.fixture
def make_ct() -> MakeCt:
    return make_ct_instance


@pytest.fixture
def write_ct(tmp_path: Path) -> WriteCt:
    """Write `count` slices of a series, and return their files in order."""

    def write(count: int, series_uid: str = "1.2.3", size: int = 32) -> list[Path]:
        folder = tmp_path / "ct" / series_uid
        folder.mkdir(parents=True, exist_ok=True)
        files = [folder / f"{number:04d}.dcm" for number in range(1, count + 1)]
        for number, file in enumerate(files, start=1):
            make_ct_instance(number, series_uid, size).save_as(file, enforce_file_format=True)
        return files

    return write


@pytest.fixture
def free_port() -> int:
    return ports.free_port()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--moments", type=int, default=1, help="how often each process is killed (acceptance: 10)")
    parser.addoption("--time-points", type=int, default=3, help="scans of the course in the PACS (acceptance: 5)")
    parser.addoption("--outage-s", type=float, default=10, help="how long the PACS is down (acceptance: 120)")


# No timing in tests; the same draws each time, and none kept between runs.
hypothesis.settings.register_profile("suite", max_examples=200, deadline=None, derandomize=True, database=None)
hypothesis.settings.register_profile("acceptance", hypothesis.settings.get_profile("suite"), max_examples=2000)
hypothesis.settings.load_profile("suite")


@pytest.fixture(autouse=True, scope="session")
def _quiet_libraries() -> None:
    """pynetdicom writes of each broken connection; the tests look at our own lines."""
    configure_libraries()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningScp:
    """A Storage SCP that listens, with its journal, receiver and spool."""

    node: NodeSettings
    port: int
    tls_port: int | None
    opened: Journal
    receiver: InstanceReceiver
    spool: Spool

    @property
    def journal(self) -> Journal:
        """The journal, after all that was received is recorded in it."""
        self.receiver.wait_until_recorded()
        return self.opened

    def files(self) -> list[Path]:
        """All files of the inbox, hidden ones, too."""
        return sorted(path for path in self.spool.inbox.rglob("*") if path.is_file())


StartScp = Callable[..., RunningScp]


@pytest.fixture
def start_scp(tmp_path: Path) -> Iterator[StartScp]:
    """Start the node's Storage SCP for these peers; all are stopped at the end."""
    with contextlib.ExitStack() as stack:

        def open_with(*peers: Peer, audit: AuditTrail | None = None, **settings: object) -> RunningScp:
            data_dir = tmp_path / "node"
            node = NodeSettings(ae_title="LUNGNODE", data_dir=data_dir, port=0, min_free_mb=0).model_copy(
                update=settings
            )
            journal = stack.enter_context(Journal(f"sqlite:///{tmp_path}/journal.db"))
            spool = Spool(data_dir, node.min_free_mb)
            receiver = InstanceReceiver(journal.series, spool)
            stack.callback(receiver.close)
            scp = StorageScp(
                node=node,
                peers=peers,
                commitments=journal.commitments,
                receiver=receiver,
                on_report=lambda report, senders: record_peer_report(
                    journal.transactions, report, node, {peer.name for peer in senders}
                ),
                audit=audit or no_audit(),
            )
            opened = scp.open()
            stack.callback(opened.close)
            return RunningScp(
                node=node,
                port=opened.port,
                tls_port=opened.tls_port,
                opened=journal,
                receiver=receiver,
                spool=spool,
            )

        yield open_with


@pytest.fixture
def sender() -> Peer:
    """A peer that may send us series."""
    return Peer(name="sender", ae_title="SENDER", host="127.0.0.1", port=1, may_send=True)
