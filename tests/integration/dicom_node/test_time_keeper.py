"""The clock of the machine is set while things wait: each waits as long as it would have, and nothing ends early."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicom_node.clock import Clock
from dicom_node.jobs import Job, JobState
from dicom_node.journal.journal import Journal
from dicom_node.journal.waiting_times import LongestPauses
from dicom_node.queue.reconciler import Reconciler
from dicom_node.selection.selector import every_series
from dicom_node.series import Document, Instance
from dicom_node.settings import Peer, QueueSettings
from dicom_node.time_keeper import TimeKeeper

HOUR_S = 3600.0
JUMPS = pytest.mark.parametrize("jump_s", [-24 * HOUR_S, HOUR_S])
QUEUE = QueueSettings(lease_s=60, max_attempts=2, requeue_after_s=30, requeue_max_s=100)
LONGEST = LongestPauses(enqueue_s=100, retry_s=300, commitment_s=600)
PEER = Peer(name="pacs", ae_title="PACS", host="h", port=1, storage_commitment=True)


class Machine:
    """A machine whose clock can be set, and a node on it that works every second."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.wall, self.uptime = 1_800_000_000.0, 0.0
        self.enqueued: list[float] = []
        self.reconciler = Reconciler(
            journal.jobs, lambda _job: self.enqueued.append(self.uptime), QUEUE, lambda: self.uptime
        )
        self.start_node()

    def start_node(self) -> None:
        self.clock = Clock(lambda: self.wall, lambda: self.uptime)
        self.keeper = TimeKeeper(
            waiting=self.journal.waiting_times,
            longest=LONGEST,
            clock=self.clock,
            monotonic=lambda: self.uptime,
        )
        self.keeper.start()

    def pass_s(self, seconds: int, each: Callable[[], object] = lambda: None) -> None:
        for _ in range(seconds):
            self.wall += 1
            self.uptime += 1
            self.keeper.step()
            each()

    def reconcile(self) -> None:
        self.reconciler.step(self.clock.now())

    def seconds_until(self, condition: Callable[[], object]) -> float:
        begun = self.uptime
        while not condition():
            assert self.uptime - begun < 2000, "it waits for ever"
            self.pass_s(1)
        return self.uptime - begun

    def receive(self, number: int = 1) -> None:
        received = Instance(
            sop_instance_uid=f"1.{number}.1",
            sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
            series_uid=f"1.{number}",
            study_uid="1",
            calling_ae_title="SENDER",
            data_set_sha256="x",
        )
        self.journal.series.record_instances([received], self.clock.now())

    def is_quiet(self) -> bool:
        return bool(every_series(self.journal, 20.0, self.clock.now()))

    def queue(self) -> Job:
        self.receive()
        (series,) = self.journal.series.quiet(self.clock.now() + 1)
        job = self.journal.jobs.create(series, "config", self.clock.now())
        assert job is not None
        return job

    def analyse(self) -> Job:
        """A finished job whose document waits to be sent."""
        job, now = self.queue(), self.clock.now()
        document = Document(sop_class_uid="1.2", sop_instance_uid="2.25.1", file_name="sr.dcm")
        assert self.journal.leases.claim(job.job_key, "worker", now + 60, now)
        assert self.journal.leases.mark_analysed(job.job_key, "worker", [document], now)
        self.journal.deliveries.ensure(job.job_key, [PEER], now)
        return job


@pytest.fixture
def machine(journal: Journal) -> Machine:
    return Machine(journal)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        yield journal


@JUMPS
def test_a_series_is_complete_after_its_quiet_period(machine: Machine, jump_s: float) -> None:
    machine.receive()
    machine.pass_s(10)
    machine.wall += jump_s

    assert 10 <= machine.seconds_until(machine.is_quiet) <= 12


@JUMPS
def test_a_job_is_enqueued_again_after_its_pauses(machine: Machine, jump_s: float) -> None:
    machine.queue()
    machine.pass_s(45, machine.reconcile)
    machine.wall += jump_s
    machine.pass_s(160, machine.reconcile)

    assert machine.enqueued == [1, 31, 91, 191]


@JUMPS
def test_a_failed_delivery_is_repeated_after_its_pause(machine: Machine, jump_s: float) -> None:
    machine.analyse()
    deliveries = machine.journal.deliveries
    deliveries.postpone(deliveries.due(machine.clock.now())[0], "PACS is down", machine.clock.now() + 200)
    machine.pass_s(50)
    machine.wall += jump_s

    assert 149 <= machine.seconds_until(lambda: deliveries.due(machine.clock.now())) <= 151


@JUMPS
def test_a_commitment_is_overdue_after_its_time_limit(machine: Machine, jump_s: float) -> None:
    machine.analyse()
    deliveries, transactions = machine.journal.deliveries, machine.journal.transactions
    deliveries.mark_stored(deliveries.due(machine.clock.now())[0], machine.clock.now())
    transactions.open("2.25.9", "pacs", ["2.25.1"], machine.clock.now() + 600)
    machine.pass_s(300)
    machine.wall += jump_s

    assert 299 <= machine.seconds_until(lambda: transactions.overdue(machine.clock.now())) <= 301


@JUMPS
def test_a_report_to_a_peer_is_repeated_after_its_pause(machine: Machine, jump_s: float) -> None:
    commitments = machine.journal.commitments
    commitments.add("2.25.9", "modality", [("1.2", "1.2.3")], machine.clock.now())
    commitments.postpone(commitments.due(machine.clock.now(), "modality", 1)[0], machine.clock.now() + 200)
    machine.pass_s(100)
    machine.wall += jump_s

    assert 99 <= machine.seconds_until(lambda: commitments.due(machine.clock.now(), "modality", 1)) <= 101


@JUMPS
def test_a_worker_that_renews_its_lease_keeps_it_and_one_that_is_gone_loses_it(machine: Machine, jump_s: float) -> None:
    job, journal = machine.queue(), machine.journal
    assert journal.leases.claim(job.job_key, "worker", machine.wall + 60, machine.wall)

    def renew_every_15_s() -> None:
        if machine.uptime % 15 == 0:
            assert journal.leases.renew(job.job_key, "worker", machine.wall + 60)
        machine.reconcile()

    machine.pass_s(100, renew_every_15_s)
    machine.wall += jump_s
    machine.pass_s(100, renew_every_15_s)
    assert journal.jobs.get(job.job_key).state is JobState.RUNNING

    machine.pass_s(75, machine.reconcile)
    record = journal.jobs.get(job.job_key)
    assert (record.state, record.attempts) == (JobState.QUEUED, 1)


@pytest.mark.parametrize("jump_s", [-24 * HOUR_S, -100.0, HOUR_S])
def test_nothing_waits_for_a_clock_that_was_set_while_the_node_was_down(machine: Machine, jump_s: float) -> None:
    machine.analyse()
    machine.receive(2)
    deliveries, commitments = machine.journal.deliveries, machine.journal.commitments
    deliveries.postpone(deliveries.due(machine.clock.now())[0], "PACS is down", machine.clock.now() + 200)
    commitments.add("2.25.9", "modality", [("1.2", "1.2.3")], machine.clock.now() + 200)
    machine.wall += jump_s
    machine.start_node()

    assert machine.seconds_until(machine.is_quiet) <= 60 + 21
    assert machine.seconds_until(lambda: deliveries.due(machine.clock.now())) <= 300
    assert machine.seconds_until(lambda: commitments.due(machine.clock.now(), "modality", 1)) <= 300


def test_a_commitment_of_the_future_is_not_given_up_but_waits_for_its_limit(machine: Machine) -> None:
    machine.analyse()
    deliveries, transactions = machine.journal.deliveries, machine.journal.transactions
    deliveries.mark_stored(deliveries.due(machine.clock.now())[0], machine.clock.now())
    transactions.open("2.25.9", "pacs", ["2.25.1"], machine.clock.now() + 600)
    machine.wall -= 24 * HOUR_S
    machine.start_node()

    assert 599 <= machine.seconds_until(lambda: transactions.overdue(machine.clock.now())) <= 601


def test_each_jump_is_logged_once(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    machine.pass_s(3)
    machine.wall -= HOUR_S
    machine.pass_s(200)
    machine.wall += HOUR_S
    machine.pass_s(200)

    assert [record.message for record in caplog.records if "clock" in record.message] == [
        "the system's clock was set back by 3600 s; pauses go on",
        "the system's clock was set forward by 3600 s; pauses go on",
    ]


def test_the_times_of_records_follow_the_clock(machine: Machine) -> None:
    machine.wall -= HOUR_S
    machine.pass_s(1)
    job = machine.queue()

    assert machine.journal.jobs.get(job.job_key).created_at == machine.wall


def test_after_a_jump_into_the_future_nothing_is_deleted_for_a_day(machine: Machine) -> None:
    assert machine.keeper.is_settled
    machine.wall += 365 * 24 * HOUR_S
    machine.pass_s(1)
    assert not machine.keeper.is_settled
    machine.uptime += 24 * HOUR_S
    machine.wall += 24 * HOUR_S
    assert machine.keeper.is_settled
