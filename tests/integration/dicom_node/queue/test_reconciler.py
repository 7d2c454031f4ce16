from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node.errors import QueueUnavailable
from dicom_node.jobs import Job, JobState
from dicom_node.journal.journal import Journal
from dicom_node.queue.assembler import assemble
from dicom_node.queue.reconciler import Reconciler, growing_pause, remove_committed
from dicom_node.series import Document, Instance
from dicom_node.settings import Peer, QueueSettings
from dicom_node.storage.spool import Spool

QUEUE = QueueSettings(lease_s=60, max_attempts=2, requeue_after_s=30, requeue_max_s=100)
DAY_S = 86400.0


class Doorbell:
    """Remembers when it was rung, or is out of order."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rung: list[tuple[float, str]] = []
        self.works = True
        self.tried: list[float] = []

    def __call__(self, job: Job) -> None:
        self.tried.append(self.now)
        if not self.works:
            raise QueueUnavailable("ConnectionError")
        self.rung.append((self.now, job.job_key))


@pytest.fixture
def doorbell() -> Doorbell:
    return Doorbell()


def queue_series(journal: Journal, number: int = 1, now: float = 0.0) -> Job:
    received = Instance(
        sop_instance_uid=f"1.{number}.1",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        series_uid=f"1.{number}",
        study_uid="1",
        calling_ae_title="SENDER",
        file_sha256="x",
    )
    journal.record_instance(received, now - 60)
    (job,) = assemble(journal, "recipe", 20.0, now)
    return job


def run(reconciler: Reconciler, doorbell: Doorbell, start: int, end: int) -> None:
    """Let the clock go from start to end, a step each second."""
    for second in range(start, end):
        doorbell.now = float(second)
        reconciler.step(float(second))


def test_a_new_job_is_rung_for_at_once_and_then_after_growing_pauses(journal: Journal, doorbell: Doorbell) -> None:
    job = queue_series(journal)

    run(Reconciler(journal, doorbell, QUEUE), doorbell, 0, 400)

    assert [when for when, _ in doorbell.rung] == [0, 30, 90, 190, 290, 390]
    assert {key for _, key in doorbell.rung} == {job.job_key}


def test_a_job_that_was_taken_is_not_rung_for(journal: Journal, doorbell: Doorbell) -> None:
    job = queue_series(journal)
    reconciler = Reconciler(journal, doorbell, QUEUE)
    reconciler.step(0.0)
    journal.claim(job.job_key, "worker", 1000.0, 5.0)

    run(reconciler, doorbell, 6, 200)

    assert len(doorbell.rung) == 1


def test_a_job_whose_worker_is_gone_is_rung_for_as_soon_as_its_lease_has_ended(
    journal: Journal, doorbell: Doorbell
) -> None:
    job = queue_series(journal)
    reconciler = Reconciler(journal, doorbell, QUEUE)
    reconciler.step(0.0)
    journal.claim(job.job_key, "worker", 65.0, 5.0)

    run(reconciler, doorbell, 6, 70)

    record = journal.job(job.job_key)
    assert (record.state, record.attempts) == (JobState.QUEUED, 1)
    assert [when for when, _ in doorbell.rung] == [0, 66]


def test_a_job_that_lost_its_last_worker_has_failed_and_is_not_rung_for(journal: Journal, doorbell: Doorbell) -> None:
    job = queue_series(journal)
    reconciler = Reconciler(journal, doorbell, QUEUE)
    for start in (0, 1000):
        journal.claim(job.job_key, "worker", start + 60.0, float(start))
        run(reconciler, doorbell, start, start + 70)

    rung = len(doorbell.rung)
    run(reconciler, doorbell, 2000, 2200)

    record = journal.job(job.job_key)
    assert (record.state, record.reason) == (JobState.FAILED, "its worker ended without an answer")
    assert len(doorbell.rung) == rung


def test_a_queue_that_is_away_is_tried_with_growing_pauses_and_nothing_is_lost(
    journal: Journal, doorbell: Doorbell
) -> None:
    for number in range(3):
        queue_series(journal, number, now=float(number))
    reconciler = Reconciler(journal, doorbell, QUEUE)
    doorbell.works = False
    run(reconciler, doorbell, 10, 100)
    assert doorbell.tried == [10, 11, 13, 17, 25, 41, 71]

    doorbell.works = True
    run(reconciler, doorbell, 100, 110)

    assert [when for when, _ in doorbell.rung] == [101, 101, 101]


def test_leases_are_taken_back_while_the_queue_is_away(journal: Journal, doorbell: Doorbell) -> None:
    job = queue_series(journal)
    reconciler = Reconciler(journal, doorbell, QUEUE)
    doorbell.works = False
    reconciler.step(0.0)
    journal.claim(job.job_key, "worker", 0.5, 0.0)

    reconciler.step(0.6)

    assert journal.job(job.job_key).state is JobState.QUEUED


def test_pauses_double_up_to_the_longest() -> None:
    assert [growing_pause(5.0, 60.0, times) for times in (0, 1, 2, 3, 4, 10_000)] == [5, 10, 20, 40, 60, 60]


def test_a_committed_series_is_removed_after_its_days_and_never_with_zero(journal: Journal, tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    job = queue_series(journal)
    path = spool.write_instance("1.1", "1.1.1", b"x")
    _commit(journal, job)

    assert remove_committed(journal, spool, 0, 1000 * DAY_S) == []
    assert remove_committed(journal, spool, 7, 7 * DAY_S) == []
    assert path.exists()
    assert remove_committed(journal, spool, 7, 7 * DAY_S + 1) == ["1.1"]
    assert not path.exists()
    assert journal.has_instances(["1.1.1"]) == set()
    assert journal.job(job.job_key).state is JobState.COMMITTED


def _commit(journal: Journal, job: Job) -> None:
    document = Document(sop_class_uid="1.2", sop_instance_uid="2.25.1", file_name="sr.dcm")
    journal.claim(job.job_key, "worker", 60.0, 0.0)
    journal.mark_analysed(job.job_key, "worker", [document], 0.0)
    journal.ensure_deliveries(job.job_key, [Peer(name="pacs", ae_title="PACS", host="h", port=1)], 0.0)
    for delivery in journal.due_deliveries(0.0):
        journal.mark_stored(delivery, 0.0)
