from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from dicom_node.delivery.delivery import DeliveryWorker, plan_deliveries, record_peer_report
from dicom_node.jobs import DeliveryState, JobState
from dicom_node.journal.journal import Journal
from dicom_node.network.scp import StorageScp
from dicom_node.network.scu import PacsClient
from dicom_node.series import Document, Instance
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.receiver import InstanceReceiver
from dicom_node.storage.spool import Spool
from worker.demo.pacs import SmallPacs

CT = "1.2.840.10008.5.1.4.1.1.2"
LATER = 1e6  # s: longer than every pause, whatever the previous step took
MakeCt = Callable[..., Dataset]


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[SmallPacs]:
    with SmallPacs(folder=tmp_path / "pacs") as running:
        yield running


@dataclass(kw_only=True)
class Outbox:
    """The delivery parts of a node, with finished jobs."""

    journal: Journal
    spool: Spool
    node: NodeSettings
    make_ct: MakeCt
    clock: float = 0.0

    def finish_job(self, number: int = 1, documents: int = 2) -> str:
        """Write a job's documents into the outbox as a worker does; they are CT images here."""
        series_uid, now = f"1.2.{number}", time.time()
        instance = Instance(
            sop_instance_uid=f"{series_uid}.1",
            sop_class_uid=CT,
            series_uid=series_uid,
            study_uid="1.2",
            calling_ae_title="PACS",
            data_set_sha256="0",
        )
        self.journal.series.record_instances([instance], now)
        found = next(s for s in self.journal.series.quiet(now + 1) if s.series_uid == series_uid)
        job = self.journal.jobs.create(found, "config", now)
        assert job is not None
        assert self.journal.leases.claim(job.job_key, "worker", now + 60, now)
        written = []
        with self.spool.new_outbox(job.job_key) as folder:
            for member in range(documents):
                ct = self.make_ct(member, series_uid=f"2.{number}")
                ct.save_as(folder / f"{member}.dcm", enforce_file_format=True)
                written.append(
                    Document(sop_class_uid=CT, sop_instance_uid=ct.SOPInstanceUID, file_name=f"{member}.dcm")
                )
            self.spool.publish(folder, job.job_key)
        assert self.journal.leases.mark_analysed(job.job_key, "worker", written, now)
        return job.job_key

    def plan(self, *peers: Peer) -> None:
        plan_deliveries(self.journal.deliveries, peers, time.time())

    def delivery_worker(self, peer: Peer, **settings: float) -> DeliveryWorker:
        node = self.node.model_copy(update=settings)
        client = PacsClient(peer, node)
        return DeliveryWorker(
            peer=peer, node=node, journal=self.journal, spool=self.spool, client=client, sender=client
        )

    def step(self, delivery_worker: DeliveryWorker) -> None:
        """Run one step at a time when all pauses are over."""
        self.clock += LATER
        delivery_worker.step(time.time() + self.clock)

    def states(self, job_key: str) -> list[DeliveryState]:
        return [delivery.state for delivery in self.journal.deliveries.of_job(job_key)]

    def job(self, job_key: str) -> JobState:
        return self.journal.jobs.get(job_key).state


@pytest.fixture
def outbox(tmp_path: Path, make_ct: MakeCt) -> Iterator[Outbox]:
    node = NodeSettings(
        ae_title="LUNGNODE",
        data_dir=tmp_path / "node",
        min_free_mb=0,
        port=0,
        connect_timeout_s=2.0,
        network_timeout_s=5.0,
        commitment_wait_s=3.0,
    )
    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        yield Outbox(journal=journal, spool=Spool(node.data_dir), node=node, make_ct=make_ct)


def peer_of(pacs: SmallPacs, name: str = "pacs", storage_commitment: bool = False) -> Peer:
    return Peer(
        name=name,
        ae_title=pacs.ae_title,
        host=pacs.host,
        port=pacs.port,
        send_results=True,
        storage_commitment=storage_commitment,
    )


@pytest.fixture
def listening(outbox: Outbox, pacs: SmallPacs) -> Iterator[None]:
    """Run the SCP of the node, which receives reports on new associations."""
    scp = StorageScp(
        node=outbox.node,
        peers=[peer_of(pacs, storage_commitment=True)],
        commitments=outbox.journal.commitments,
        receiver=InstanceReceiver(outbox.journal.series, outbox.spool),
        on_report=lambda report, peers: record_peer_report(
            outbox.journal.transactions, report, outbox.node, {p.name for p in peers}
        ),
    )
    opened = scp.open()
    pacs.peers = {"LUNGNODE": ("127.0.0.1", opened.port)}
    yield
    opened.close()


def test_a_finished_job_is_committed_when_stored_if_no_commitment_is_requested(outbox: Outbox, pacs: SmallPacs) -> None:
    key = outbox.finish_job()
    outbox.plan(peer_of(pacs))

    outbox.step(outbox.delivery_worker(peer_of(pacs)))

    # Without storage commitment a stored document counts as committed.
    assert outbox.job(key) is JobState.COMMITTED
    sent = [outbox.spool.document_path(key, name) for name in ("0.dcm", "1.dcm")]
    assert [dcmread(file) for file in pacs.stored()] == [dcmread(file) for file in sent]


@pytest.mark.parametrize("same_association", [True, False], ids=["same association", "new association"])
def test_a_commitment_completes_the_job_on_either_association(
    outbox: Outbox, pacs: SmallPacs, listening: None, same_association: bool
) -> None:
    pacs.behaviour.report_on_same_association = same_association
    key = outbox.finish_job()
    peer = peer_of(pacs, storage_commitment=True)
    outbox.plan(peer)

    outbox.step(outbox.delivery_worker(peer))

    assert outbox.states(key) == [DeliveryState.COMMITTED] * 2
    assert outbox.job(key) is JobState.COMMITTED
    assert len(pacs.commitment_requests) == 1


def test_the_documents_of_many_jobs_are_sent_over_one_association(outbox: Outbox, pacs: SmallPacs) -> None:
    keys = [outbox.finish_job(number) for number in (1, 2, 3)]
    outbox.plan(peer_of(pacs))

    outbox.step(outbox.delivery_worker(peer_of(pacs)))

    assert [outbox.job(key) for key in keys] == [JobState.COMMITTED] * 3
    assert len(pacs.stored()) == 6


def test_a_refused_document_fails_its_own_job_only(
    outbox: Outbox, pacs: SmallPacs, caplog: pytest.LogCaptureFixture
) -> None:
    pacs.behaviour.refused_instances = frozenset({"2.1.0"})
    bad, good = outbox.finish_job(1), outbox.finish_job(2)
    outbox.plan(peer_of(pacs))

    outbox.step(outbox.delivery_worker(peer_of(pacs)))

    assert outbox.states(bad) == [DeliveryState.REFUSED, DeliveryState.STORED]
    assert outbox.job(bad) is JobState.FAILED
    assert outbox.journal.jobs.get(bad).reason == "pacs: instance 2.1.0: refused with status 0xC000"
    assert outbox.job(good) is JobState.COMMITTED
    assert [record.levelno for record in caplog.records if "refused" in record.getMessage()] == [logging.ERROR]


def test_a_pacs_that_was_down_receives_all_documents_later(outbox: Outbox, tmp_path: Path, free_port: int) -> None:
    pacs = SmallPacs(folder=tmp_path / "late", port=free_port)
    key = outbox.finish_job()
    outbox.plan(peer_of(pacs))
    delivery_worker = outbox.delivery_worker(peer_of(pacs))

    for _ in range(2):
        outbox.step(delivery_worker)

    assert outbox.job(key) is JobState.ANALYSED
    assert [delivery.attempts for delivery in outbox.journal.deliveries.of_job(key)] == [2, 2]
    with pacs:
        outbox.step(delivery_worker)
    assert outbox.job(key) is JobState.COMMITTED
    assert len(pacs.stored()) == 2


def test_pauses_grow_up_to_the_limit(outbox: Outbox, pacs: SmallPacs) -> None:
    pacs.stop()
    key = outbox.finish_job(documents=1)
    outbox.plan(peer_of(pacs))
    delivery_worker = outbox.delivery_worker(peer_of(pacs), retry_backoff_s=4.0, retry_backoff_max_s=10.0)

    for pause_s in (4, 8, 10, 10):
        before = time.time()
        outbox.step(delivery_worker)
        (delivery,) = outbox.journal.deliveries.of_job(key)
        assert before + pause_s <= delivery.next_attempt_at <= time.time() + pause_s


def test_a_peer_that_is_down_does_not_delay_another(outbox: Outbox, pacs: SmallPacs, free_port: int) -> None:
    down = Peer(name="down", ae_title="DOWN", host="127.0.0.1", port=free_port, send_results=True)
    key = outbox.finish_job()
    outbox.plan(down, peer_of(pacs))

    for peer in (down, peer_of(pacs)):
        outbox.step(outbox.delivery_worker(peer))

    by_peer = {d.peer: d.state for d in outbox.journal.deliveries.of_job(key)}
    assert by_peer == {"down": DeliveryState.PENDING, "pacs": DeliveryState.STORED}


def test_a_pacs_without_space_is_retried(outbox: Outbox, pacs: SmallPacs) -> None:
    pacs.behaviour.store_status = 0xA700
    key = outbox.finish_job()
    outbox.plan(peer_of(pacs))
    delivery_worker = outbox.delivery_worker(peer_of(pacs))

    outbox.step(delivery_worker)
    assert outbox.job(key) is JobState.ANALYSED
    pacs.behaviour.store_status = 0x0000
    outbox.step(delivery_worker)

    assert outbox.job(key) is JobState.COMMITTED


def test_a_delivery_past_its_deadline_is_given_up_with_an_error(
    outbox: Outbox, pacs: SmallPacs, caplog: pytest.LogCaptureFixture
) -> None:
    pacs.stop()
    key = outbox.finish_job(documents=1)
    outbox.plan(peer_of(pacs))
    delivery_worker = outbox.delivery_worker(
        peer_of(pacs), retry_backoff_s=10.0, retry_backoff_max_s=20.0, retry_deadline_s=50.0
    )

    for _ in range(3):  # pauses of 10, 20, 20 s
        outbox.step(delivery_worker)
    assert outbox.job(key) is JobState.ANALYSED
    outbox.step(delivery_worker)

    assert outbox.job(key) is JobState.FAILED
    reason = outbox.journal.jobs.get(key).reason
    assert reason is not None
    assert "given up after 3 attempts: no association with" in reason
    assert any(record.levelno == logging.ERROR and "given up" in record.getMessage() for record in caplog.records)


def test_a_failed_commitment_is_sent_again_with_a_new_transaction(outbox: Outbox, pacs: SmallPacs) -> None:
    pacs.behaviour.report_on_same_association = True
    pacs.behaviour.uncommitted = frozenset({"2.1.1"})
    peer = peer_of(pacs, storage_commitment=True)
    key = outbox.finish_job()
    outbox.plan(peer)
    delivery_worker = outbox.delivery_worker(peer)

    outbox.step(delivery_worker)

    failed = outbox.journal.deliveries.of_job(key)
    assert [delivery.state for delivery in failed] == [DeliveryState.COMMITTED, DeliveryState.PENDING]
    assert failed[1].reason == "commitment failed, reason 0x0112"
    pacs.archive.path("2.1.1").unlink()
    pacs.behaviour.uncommitted = frozenset()
    outbox.step(delivery_worker)
    assert outbox.job(key) is JobState.COMMITTED
    assert pacs.archive.path("2.1.1").exists()
    assert len(set(pacs.commitment_requests)) == len(pacs.commitment_requests) == 2


def test_an_overdue_commitment_is_sent_again_with_a_new_transaction(
    outbox: Outbox, pacs: SmallPacs, caplog: pytest.LogCaptureFixture
) -> None:
    pacs.behaviour.report_on_same_association = pacs.behaviour.sends_no_report = True
    peer = peer_of(pacs, storage_commitment=True)
    key = outbox.finish_job()
    outbox.plan(peer)
    delivery_worker = outbox.delivery_worker(peer, commitment_wait_s=0.1)

    outbox.step(delivery_worker)
    assert outbox.job(key) is JobState.DELIVERED
    outbox.step(delivery_worker)  # detects that the report is overdue
    assert any("no report from" in line for line in caplog.messages)
    assert outbox.states(key) == [DeliveryState.PENDING] * 2
    pacs.behaviour.sends_no_report = False
    outbox.step(outbox.delivery_worker(peer))

    assert outbox.job(key) is JobState.COMMITTED
    assert len(set(pacs.commitment_requests)) == 2


def test_a_failed_commitment_request_is_repeated(outbox: Outbox, pacs: SmallPacs) -> None:
    peer = peer_of(pacs, storage_commitment=True)  # it does not know our address and refuses
    key = outbox.finish_job()
    outbox.plan(peer)
    delivery_worker = outbox.delivery_worker(peer)

    outbox.step(delivery_worker)
    assert outbox.job(key) is JobState.DELIVERED
    pacs.behaviour.report_on_same_association = True
    outbox.step(delivery_worker)

    assert outbox.job(key) is JobState.COMMITTED
    assert len(pacs.stored()) == 2


def test_a_commitment_that_always_fails_is_given_up(outbox: Outbox, pacs: SmallPacs) -> None:
    pacs.behaviour.report_on_same_association = True
    pacs.behaviour.uncommitted = frozenset({"2.1.0"})
    peer = peer_of(pacs, storage_commitment=True)
    key = outbox.finish_job(documents=1)
    outbox.plan(peer)
    delivery_worker = outbox.delivery_worker(
        peer, retry_backoff_s=10.0, retry_backoff_max_s=20.0, retry_deadline_s=30.0
    )

    for _ in range(3):
        outbox.step(delivery_worker)

    assert outbox.job(key) is JobState.FAILED
    assert outbox.journal.jobs.get(key).reason == "pacs: given up after 2 attempts: commitment failed, reason 0x0112"


def test_delivered_documents_are_not_sent_again(outbox: Outbox, pacs: SmallPacs) -> None:
    peer = peer_of(pacs)
    outbox.finish_job()
    outbox.plan(peer)
    delivery_worker = outbox.delivery_worker(peer)
    outbox.step(delivery_worker)
    for file in pacs.stored():
        file.unlink()

    outbox.plan(peer)
    outbox.step(delivery_worker)

    assert list(pacs.folder.iterdir()) == []


def test_a_document_missing_in_the_outbox_fails_its_job(outbox: Outbox, pacs: SmallPacs) -> None:
    key = outbox.finish_job()
    outbox.spool.document_path(key, "0.dcm").unlink()
    outbox.plan(peer_of(pacs))

    outbox.step(outbox.delivery_worker(peer_of(pacs)))

    assert outbox.job(key) is JobState.FAILED
    assert "cannot be read" in str(outbox.journal.jobs.get(key).reason)
