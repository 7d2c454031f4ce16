from __future__ import annotations

import pytest

from dicom_node.errors import QueueUnavailable
from dicom_node.jobs import Job, JobState
from dicom_node.journal.journal import Journal
from dicom_node.queue.assembler import assemble
from dicom_node.queue.reconciler import Reconciler, backoff_s
from dicom_node.selection.selector import every_series
from dicom_node.series import Instance
from dicom_node.settings import QueueSettings

QUEUE = QueueSettings(lease_s=60, max_attempts=2, requeue_after_s=30, requeue_max_s=100)


class FakeQueue:
    """Records when jobs are enqueued, or raises QueueUnavailable."""

    def __init__(self) -> None:
        self.now = 0.0
        self.enqueued: list[tuple[float, str]] = []
        self.is_available = True
        self.attempts: list[float] = []

    def __call__(self, job: Job) -> None:
        self.attempts.append(self.now)
        if not self.is_available:
            raise QueueUnavailable("ConnectionError")
        self.enqueued.append((self.now, job.job_key))


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


def queue_series(journal: Journal, number: int = 1, now: float = 0.0) -> Job:
    received = Instance(
        sop_instance_uid=f"1.{number}.1",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        series_uid=f"1.{number}",
        study_uid="1",
        calling_ae_title="SENDER",
        data_set_sha256="x",
    )
    journal.series.record_instances([received], now - 60)
    (job,) = assemble(journal, "config", every_series(journal, 20.0, now), now)
    return job


def run(reconciler: Reconciler, queue: FakeQueue, start: int, end: int) -> None:
    """Run one step each second from start to end."""
    for second in range(start, end):
        queue.now = float(second)
        reconciler.step(float(second))


def test_a_new_job_is_enqueued_at_once_and_then_with_exponential_backoff(journal: Journal, queue: FakeQueue) -> None:
    job = queue_series(journal)

    run(Reconciler(journal.jobs, queue, QUEUE, lambda: queue.now), queue, 0, 400)

    assert [time_s for time_s, _ in queue.enqueued] == [0, 30, 90, 190, 290, 390]
    assert {key for _, key in queue.enqueued} == {job.job_key}


def test_a_claimed_job_is_not_enqueued(journal: Journal, queue: FakeQueue) -> None:
    job = queue_series(journal)
    reconciler = Reconciler(journal.jobs, queue, QUEUE, lambda: queue.now)
    reconciler.step(0.0)
    journal.leases.claim(job.job_key, "worker", 1000.0, 5.0)

    run(reconciler, queue, 6, 60)

    assert len(queue.enqueued) == 1


def test_a_job_is_enqueued_again_as_soon_as_its_lease_has_expired(journal: Journal, queue: FakeQueue) -> None:
    job = queue_series(journal)
    reconciler = Reconciler(journal.jobs, queue, QUEUE, lambda: queue.now)
    reconciler.step(0.0)
    journal.leases.claim(job.job_key, "worker", 65.0, 5.0)

    run(reconciler, queue, 6, 70)

    record = journal.jobs.get(job.job_key)
    assert (record.state, record.attempts) == (JobState.QUEUED, 1)
    assert [time_s for time_s, _ in queue.enqueued] == [0, 67]


def test_a_job_whose_last_attempt_failed_is_not_enqueued(journal: Journal, queue: FakeQueue) -> None:
    job = queue_series(journal)
    reconciler = Reconciler(journal.jobs, queue, QUEUE, lambda: queue.now)
    for start in (0, 1000):
        journal.leases.claim(job.job_key, "worker", start + 60.0, float(start))
        run(reconciler, queue, start, start + 70)

    enqueued = len(queue.enqueued)
    run(reconciler, queue, 2000, 2200)

    record = journal.jobs.get(job.job_key)
    assert (record.state, record.reason) == (JobState.FAILED, "its worker ended without a result")
    assert len(queue.enqueued) == enqueued


def test_an_unavailable_queue_is_retried_with_exponential_backoff_and_no_job_is_lost(
    journal: Journal, queue: FakeQueue
) -> None:
    for number in range(3):
        queue_series(journal, number, now=float(number))
    reconciler = Reconciler(journal.jobs, queue, QUEUE, lambda: queue.now)
    queue.is_available = False
    run(reconciler, queue, 10, 100)
    assert queue.attempts == [10, 11, 13, 17, 25, 41, 71]

    queue.is_available = True
    run(reconciler, queue, 100, 110)

    assert [time_s for time_s, _ in queue.enqueued] == [101, 101, 101]


def test_expired_leases_are_requeued_while_the_queue_is_unavailable(journal: Journal, queue: FakeQueue) -> None:
    job = queue_series(journal)
    reconciler = Reconciler(journal.jobs, queue, QUEUE, lambda: queue.now)
    queue.is_available = False
    reconciler.step(0.0)
    journal.leases.claim(job.job_key, "worker", 0.5, 0.0)

    run(reconciler, queue, 1, 63)

    assert journal.jobs.get(job.job_key).state is JobState.QUEUED


def test_pauses_double_up_to_the_limit() -> None:
    assert [backoff_s(5.0, 60.0, times) for times in (0, 1, 2, 3, 4, 10_000)] == [5, 10, 20, 40, 60, 60]
