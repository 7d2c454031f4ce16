from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset

from dicom_node.errors import PacsUnavailable, SettingsError
from dicom_node.jobs import JobState
from dicom_node.journal.jobs import JobRecord
from dicom_node.journal.journal import Journal
from dicom_node.network.scu import PacsClient
from dicom_node.node import Node
from dicom_node.parts import NodeConfiguration
from dicom_node.queue.redis_server import server_command, wait_until_ready, waiting_messages
from dicom_node.selection.rules import SelectionSettings
from dicom_node.series import Document
from dicom_node.settings import JournalSettings, NodeSettings, Peer, QueueSettings
from dicom_node.storage.content import data_set_sha256
from dicom_node.storage.spool import Spool
from tests.fixtures.ports import is_listening
from tests.fixtures.waiting import wait_until
from worker.demo.pacs import SmallPacs

CT = "1.2.840.10008.5.1.4.1.1.2"
PACS_UP = Path(__file__).parents[4] / "shared" / "tools" / "pacs-up"
WriteCt = Callable[..., list[Path]]
MakeCt = Callable[..., Dataset]


@dataclass(kw_only=True)
class Site:
    """The configuration of a node in a folder, and a simulated worker."""

    folder: Path
    peer: Peer
    node_port: int
    make_ct: MakeCt
    journal: Journal

    @property
    def configuration(self) -> NodeConfiguration:
        node = NodeSettings(
            ae_title="LUNGNODE",
            port=self.node_port,
            data_dir=self.folder,
            min_free_mb=0,
            quiet_period_s=1.0,
            retry_backoff_s=0.5,
            retry_backoff_max_s=1.0,
            commitment_wait_s=3.0,
            connect_timeout_s=5.0,
        )
        queue = QueueSettings(url=f"redis+socket://{self.folder}/redis/redis.sock")
        return NodeConfiguration(
            node=node,
            peers=[self.peer],
            queue=queue,
            journal=JournalSettings(),
            selection=SelectionSettings(),
            config_hash="config",
        )

    def jobs(self) -> list[JobRecord]:
        return self.journal.jobs.find()

    def states(self) -> list[JobState]:
        return [record.state for record in self.jobs()]

    def send(self, files: list[Path]) -> None:
        node = Peer(name="node", ae_title="LUNGNODE", host="127.0.0.1", port=self.node_port)
        outcomes = PacsClient(node, NodeSettings(ae_title=self.peer.ae_title)).store(files)
        assert [outcome.error for outcome in outcomes] == [None] * len(files)

    def work(self) -> None:
        """Finish every queued job as a worker does; the documents are CT images of the same study."""
        journal, spool = self.journal, Spool(self.folder)
        for record in journal.jobs.find([JobState.QUEUED]):
            key, now = record.job.job_key, time.time()
            assert journal.leases.claim(key, "worker", now + 60, now)
            ct = self.make_ct(1, series_uid=f"2.25.{int(key[:12], 16)}")
            with spool.new_outbox(key) as folder:
                ct.save_as(folder / "seg.dcm", enforce_file_format=True)
                spool.publish(folder, key)
            document = Document(sop_class_uid=CT, sop_instance_uid=ct.SOPInstanceUID, file_name="seg.dcm")
            assert journal.leases.mark_analysed(key, "worker", [document], now)


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[SmallPacs]:
    with SmallPacs(folder=tmp_path / "pacs") as running:
        yield running


@pytest.fixture
def site(pacs: SmallPacs, tmp_path: Path, free_port: int, make_ct: MakeCt) -> Iterator[Site]:
    pacs.peers = {"LUNGNODE": ("127.0.0.1", free_port)}
    peer = Peer(
        name="pacs",
        ae_title=pacs.ae_title,
        host=pacs.host,
        port=pacs.port,
        may_send=True,
        send_results=True,
        storage_commitment=True,
    )
    with Journal(JournalSettings().url_in(tmp_path / "node")) as journal:
        yield Site(folder=tmp_path / "node", peer=peer, node_port=free_port, make_ct=make_ct, journal=journal)


def test_a_series_is_received_and_its_results_are_committed(site: Site, pacs: SmallPacs, write_ct: WriteCt) -> None:
    with Node(site.configuration, site.journal):
        site.send(write_ct(4))
        wait_until(lambda: site.states() == [JobState.QUEUED])
        assert len(site.jobs()[0].sop_instance_uids) == 4
        site.work()
        wait_until(lambda: site.states() == [JobState.COMMITTED])

    assert len(pacs.stored()) == 1


def test_a_queued_job_is_enqueued_in_redis(site: Site, write_ct: WriteCt) -> None:
    redis = subprocess.Popen(server_command(site.folder))
    url = site.configuration.queue.url
    try:
        assert wait_until_ready(url, 10)
        with Node(site.configuration, site.journal):
            site.send(write_ct(2))

            wait_until(lambda: waiting_messages(url) == 1)
    finally:
        redis.terminate()
        redis.wait()


def test_late_slices_make_a_new_job_that_supersedes_the_first(site: Site, write_ct: WriteCt) -> None:
    files = write_ct(4)
    with Node(site.configuration, site.journal):
        site.send(files[:2])
        wait_until(lambda: site.states() == [JobState.QUEUED])
        site.send(files[2:])
        wait_until(lambda: site.states() == [JobState.SUPERSEDED, JobState.QUEUED])


def test_a_series_sent_again_makes_no_new_job(site: Site, write_ct: WriteCt) -> None:
    with Node(site.configuration, site.journal):
        site.send(write_ct(2))
        wait_until(lambda: site.states() == [JobState.QUEUED])
        site.send(write_ct(2))
        time.sleep(2.5)

    assert site.states() == [JobState.QUEUED]


def test_a_restarted_node_continues_where_it_stopped(site: Site, pacs: SmallPacs, write_ct: WriteCt) -> None:
    with Node(site.configuration, site.journal):
        site.send(write_ct(3))
    assert site.states() == []

    with Node(site.configuration, site.journal):
        wait_until(lambda: site.states() == [JobState.QUEUED])
    site.work()
    with Node(site.configuration, site.journal):
        wait_until(lambda: site.states() == [JobState.COMMITTED])

    assert len(pacs.stored()) == 1


def test_a_series_interrupted_by_a_restart_becomes_one_job(site: Site, write_ct: WriteCt) -> None:
    files = write_ct(3)
    with Node(site.configuration, site.journal):
        site.send(files[:1])
    time.sleep(1.2)  # longer than the quiet period

    with Node(site.configuration, site.journal):
        time.sleep(0.3)  # the sender detects later that the node is running again
        site.send(files[1:])
        wait_until(lambda: site.states() == [JobState.QUEUED])

    assert [len(record.sop_instance_uids) for record in site.jobs()] == [3]


def test_a_pacs_that_was_down_receives_its_results_later(site: Site, pacs: SmallPacs, write_ct: WriteCt) -> None:
    with Node(site.configuration, site.journal):
        site.send(write_ct(2))
        pacs.stop()
        wait_until(lambda: site.states() == [JobState.QUEUED])
        site.work()
        wait_until(lambda: any(d.attempts > 1 for d in site.journal.deliveries.of_job(site.jobs()[0].job.job_key)))
        pacs.start()

        wait_until(lambda: site.states() == [JobState.COMMITTED])


def test_a_port_in_use_raises_one_line(site: Site) -> None:
    with (
        socket.create_server(("127.0.0.1", site.node_port)),
        pytest.raises(SettingsError, match="cannot listen on"),
        Node(site.configuration, site.journal),
    ):
        pass


def test_stopping_the_node_does_not_wait_for_silent_peers(site: Site, write_ct: WriteCt, pacs: SmallPacs) -> None:
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(Node(site.configuration, site.journal))
        site.send(write_ct(1))
        wait_until(lambda: site.states() == [JobState.QUEUED])
        pacs.behaviour.delay_s = 30.0  # it receives our result and does not respond
        site.work()
        silent = stack.enter_context(socket.create_connection(("127.0.0.1", node.port)))
        silent.sendall(b"\1\0\0\0")
        time.sleep(2.0)
        started = time.monotonic()
        node.__exit__(None, None, None)
        assert time.monotonic() - started < 3
        pacs.behaviour.delay_s = 0.0


# -- the process --

RUN_NODE = """
import logging, signal, sys, threading
from pathlib import Path
from dicom_node.node import run_node
from dicom_node.parts import NodeConfiguration
from dicom_node.selection.rules import SelectionSettings
from dicom_node.settings import JournalSettings, NodeSettings, Peer, QueueSettings
logging.basicConfig(level=logging.INFO)
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
peer = Peer(name="pacs", ae_title="SMALLPACS", host="127.0.0.1", port=1, may_send=True)
node = NodeSettings(ae_title="LUNGNODE", port=int(sys.argv[2]), data_dir=Path(sys.argv[1]), min_free_mb=0)
queue = QueueSettings(url="redis://127.0.0.1:1")
run_node(
    NodeConfiguration(
        node=node, peers=[peer], queue=queue, journal=JournalSettings(), selection=SelectionSettings(), config_hash="r"
    ),
    stop,
)
"""


@pytest.fixture
def process(site: Site) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", RUN_NODE, str(site.folder), str(site.node_port)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])
    yield process
    process.kill()
    process.communicate()


def test_sigterm_ends_the_process_within_seconds_even_with_open_connections(
    site: Site, process: subprocess.Popen[str], write_ct: WriteCt
) -> None:
    wait_until(lambda: is_listening(site.node_port))
    site.send(write_ct(1))
    with socket.create_connection(("127.0.0.1", site.node_port)) as half_open:
        half_open.sendall(b"\1\0\0\0\1")
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=5) == 0


def test_acknowledged_instances_survive_sigkill(site: Site, process: subprocess.Popen[str], write_ct: WriteCt) -> None:
    wait_until(lambda: is_listening(site.node_port))
    node = Peer(name="node", ae_title="LUNGNODE", host="127.0.0.1", port=site.node_port)
    acknowledged = 0
    outcomes = PacsClient(node, NodeSettings(ae_title="SMALLPACS")).store(write_ct(200))
    with contextlib.suppress(PacsUnavailable):
        for outcome in outcomes:
            acknowledged += outcome.error is None
            if acknowledged == 57:
                os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=10)

    assert 57 <= acknowledged < 200
    assert_recorded_after_a_restart(site, acknowledged)


def test_an_instance_is_never_lost_between_its_file_and_its_row(
    site: Site, process: subprocess.Popen[str], write_ct: WriteCt
) -> None:
    wait_until(lambda: is_listening(site.node_port))
    with site.journal.database.write():  # no other process can write a row
        site.send(write_ct(20))
        process.kill()
        process.wait(timeout=10)
        assert site.journal.series.stored_uids("1.2.3") == ()

    assert_recorded_after_a_restart(site, 20)


def assert_recorded_after_a_restart(site: Site, acknowledged: int) -> None:
    """Assert that a restarted node has the rows of all acknowledged instances, each with the hash of its file."""
    with Node(site.configuration, site.journal):
        (series,) = site.journal.series.quiet(before=4e9)
    assert len(series.sop_instance_uids) >= acknowledged
    spool = Spool(site.folder)
    for instance in site.journal.series.instances(series.sop_instance_uids):
        path = spool.instance_path(instance.series_uid, instance.sop_instance_uid)
        assert instance.data_set_sha256 == data_set_sha256(path)
        assert instance.calling_ae_title == "SMALLPACS"


def test_the_process_logs_no_patient_data(
    site: Site, process: subprocess.Popen[str], write_ct: WriteCt, make_ct: MakeCt, tmp_path: Path
) -> None:
    wait_until(lambda: is_listening(site.node_port))
    unusual = make_ct(5)
    unusual.PatientBirthDate, unusual.PatientAddress = "19630215", "SECRET"
    unusual.save_as(tmp_path / "odd.dcm", enforce_file_format=True)
    site.send([*write_ct(1), tmp_path / "odd.dcm"])
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=10)

    assert "listens on" in stderr
    for secret in ("SECRET", "CHEST", "19630215"):
        assert secret not in stderr


# -- Orthanc --


def instances_of(http: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{http}/statistics") as answer:
        return int(json.load(answer)["CountInstances"])


def test_orthanc_forwards_a_series_and_commits_its_result(
    orthanc: tuple[int, int, int], tmp_path: Path, make_ct: MakeCt, write_ct: WriteCt, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    dicom, http, node_port = orthanc
    peer = Peer(
        name="orthanc",
        ae_title="ORTHANC",
        host="127.0.0.1",
        port=dicom,
        may_send=True,
        send_results=True,
        storage_commitment=True,
    )
    folder = tmp_path / "node"
    with Journal(JournalSettings().url_in(folder)) as journal, contextlib.ExitStack() as stack:
        site = Site(folder=folder, peer=peer, node_port=node_port, make_ct=make_ct, journal=journal)
        stack.enter_context(Node(site.configuration, journal))
        list(PacsClient(peer, NodeSettings(ae_title="TESTSCU")).store(write_ct(5)))
        wait_until(lambda: site.states() == [JobState.QUEUED], within_s=40)
        assert len(site.jobs()[0].sop_instance_uids) == 5
        site.work()

        wait_until(lambda: site.jobs()[0].state is JobState.COMMITTED)

    assert instances_of(http) == 6
    assert any("committed 1, failed 0" in line for line in caplog.messages)
