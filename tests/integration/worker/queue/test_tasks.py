from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.jobs import Job, JobState
from dicom_node.journal.jobs import JobRecord
from dicom_node.queue.redis_server import redis_url, waiting_messages
from tests.fixtures.worker.queue.queue_setup import QueueSetup


def states(setup: QueueSetup, jobs: list[Job]) -> list[JobState]:
    return [setup.journal.jobs.get(job.job_key).state for job in jobs]


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[QueueSetup]:
    setup = QueueSetup(tmp_path)
    yield setup
    setup.end()


def test_a_received_series_becomes_documents_in_the_outbox(setup: QueueSetup) -> None:
    setup.start_worker()
    job = setup.receive("1.2.3", b"fine", b"slices")

    setup.wait_for_state(job, JobState.ANALYSED)

    assert setup.spool.document_path(job.job_key, "seg.dcm").read_bytes() == b"fine"
    assert [path.name for path in setup.spool.outbox.iterdir()] == [job.job_key]


def test_an_idle_worker_survives_a_killed_redis(setup: QueueSetup) -> None:
    setup.start_worker()
    setup.wait_for_state(setup.receive("1.2.3", b"before"), JobState.ANALYSED)

    for number in range(3):
        setup.redis.kill()
        setup.redis.wait()
        job = setup.receive(f"1.2.4.{number}", b"while redis is down")
        setup.reconciler.step(time.time())
        setup.start_redis()

        setup.wait_for_state(job, JobState.ANALYSED)


def test_a_busy_worker_survives_a_killed_redis(setup: QueueSetup) -> None:
    setup.start_worker()
    (setup.folder / "hold").touch()
    job = setup.receive("1.2.3", b"running")
    setup.wait_for_state(job, JobState.RUNNING)

    setup.redis.kill()
    setup.redis.wait()
    (setup.folder / "hold").unlink()
    setup.wait_for_state(job, JobState.ANALYSED)
    time.sleep(0.5)  # so that the acknowledgement has failed: with a prefetch limit, Celery would now consume nothing
    setup.start_redis()

    setup.wait_for_state(setup.receive("1.2.4", b"afterwards"), JobState.ANALYSED)


def test_a_worker_takes_one_message_at_a_time_and_leaves_the_rest_to_other_workers(setup: QueueSetup) -> None:
    (setup.folder / "hold").touch()
    setup.start_worker()
    jobs = [setup.receive(f"1.2.{number}", b"one of three") for number in range(3)]
    url = redis_url(setup.settings.queue, setup.folder)
    setup.wait_until(lambda: states(setup, jobs).count(JobState.RUNNING) == 1)
    assert waiting_messages(url) >= 2

    setup.start_worker()

    setup.wait_until(lambda: states(setup, jobs).count(JobState.RUNNING) == 2)
    (setup.folder / "hold").unlink()
    setup.wait_until(lambda: states(setup, jobs) == [JobState.ANALYSED] * 3)


def test_a_job_whose_worker_is_killed_is_finished_after_a_restart(setup: QueueSetup) -> None:
    worker = setup.start_worker()
    (setup.folder / "hold").touch()
    job = setup.receive("1.2.3", b"killed")
    setup.wait_until(lambda: bool(list(setup.spool.outbox.glob(".*/seg.dcm"))))

    worker.kill()
    worker.wait()
    (setup.folder / "hold").unlink()
    setup.start_worker()
    setup.wait_for_state(job, JobState.ANALYSED)

    assert setup.journal.jobs.get(job.job_key).attempts == 1
    assert [path.name for path in setup.spool.outbox.iterdir()] == [job.job_key]


def test_a_job_that_kills_every_worker_fails(setup: QueueSetup) -> None:
    (setup.folder / "hold").touch()
    job = setup.receive("1.2.3", b"deadly")
    for _ in range(setup.settings.queue.max_attempts):
        worker = setup.start_worker()
        setup.wait_for_state(job, JobState.RUNNING)
        worker.kill()
        worker.wait()
        setup.wait_until(lambda: setup.journal.jobs.get(job.job_key).state is not JobState.RUNNING)

    record = setup.journal.jobs.get(job.job_key)
    assert (record.state, record.reason) == (JobState.FAILED, "its worker ended without a result")


def test_a_stopped_worker_releases_its_job_at_once_without_counting_an_attempt(setup: QueueSetup) -> None:
    worker = setup.start_worker()
    (setup.folder / "hold").touch()
    job = setup.receive("1.2.3", b"stopped")
    setup.wait_for_state(job, JobState.RUNNING)

    worker.terminate()

    assert worker.wait(10) == 0
    record = setup.journal.jobs.get(job.job_key)
    assert (record.state, record.attempts, record.reason) == (
        JobState.QUEUED,
        0,
        "WorkerStopping: the worker was stopped",
    )


def test_a_worker_that_was_suspended_past_its_lease_discards_its_result(setup: QueueSetup) -> None:
    suspended = setup.start_worker()
    (setup.folder / "hold").touch()
    job = setup.receive("1.2.3", b"suspended")
    setup.wait_for_state(job, JobState.RUNNING)
    suspended.send_signal(signal.SIGSTOP)
    setup.start_worker()
    setup.wait_until(lambda: setup.journal.jobs.get(job.job_key).attempts == 1)
    setup.wait_for_state(job, JobState.RUNNING)
    (setup.folder / "hold").unlink()
    setup.wait_for_state(job, JobState.ANALYSED)

    suspended.send_signal(signal.SIGCONT)
    setup.wait_until(lambda: "result discarded" in (setup.folder / "worker.log").read_text())

    assert setup.journal.jobs.get(job.job_key).state is JobState.ANALYSED
    assert setup.spool.document_path(job.job_key, "seg.dcm").read_bytes() == b"suspended"


def test_a_series_that_cannot_be_analysed_is_rejected_with_the_reason(setup: QueueSetup) -> None:
    setup.start_worker()
    job = setup.receive("1.2.3", b"reject")

    setup.wait_for_state(job, JobState.REJECTED)

    assert setup.journal.jobs.get(job.job_key).reason == "MissingSlices: a gap of 7.5 mm"
    assert list(setup.spool.outbox.iterdir()) == []


def test_a_job_with_an_unexpected_error_is_retried_then_fails_and_the_error_text_is_not_recorded(
    setup: QueueSetup,
) -> None:
    setup.start_worker()
    job = setup.receive("1.2.3", b"broken")

    setup.wait_for_state(job, JobState.FAILED)

    record = setup.journal.jobs.get(job.job_key)
    assert (record.reason, record.attempts) == ("ValueError", 3)
    log = (setup.folder / "worker.log").read_text()
    assert "in analyse" in log
    assert "DOE" not in log.replace('raise ValueError("DOE^JANE")', "")


def test_a_full_disk_does_not_count_as_an_attempt(setup: QueueSetup) -> None:
    setup.start_worker()
    job = setup.receive("1.2.3", b"full")

    setup.wait_until(lambda: setup.journal.jobs.get(job.job_key).reason is not None)

    record = setup.journal.jobs.get(job.job_key)
    outbox = setup.spool.outbox
    assert (record.attempts, record.reason) == (
        0,
        f"{outbox}: No space left on device (ENOSPC): free some space there",
    )


def test_a_worker_whose_model_fails_releases_the_job_and_exits(setup: QueueSetup) -> None:
    worker = setup.start_worker()
    job = setup.receive("1.2.3", b"model")

    setup.wait_until(lambda: worker.poll() is not None)

    assert worker.returncode == 1
    record = setup.journal.jobs.get(job.job_key)
    assert (record.state, record.attempts) == (JobState.QUEUED, 0)
    assert record.reason == "ModelError: the weights have another hash"


def test_a_job_of_another_configuration_stays_queued_with_a_reason(setup: QueueSetup) -> None:
    setup.start_worker()
    job = setup.receive("1.2.3", b"foreign", config_hash="other")

    records: list[JobRecord] = []

    def is_queued_with_a_reason() -> bool:
        """Between two attempts: each is RUNNING for a moment."""
        records.append(setup.journal.jobs.get(job.job_key))
        return records[-1].state is JobState.QUEUED and records[-1].reason is not None

    setup.wait_until(is_queued_with_a_reason)

    reason = records[-1].reason
    assert reason is not None
    assert reason.startswith("ConfigMismatch: made for configuration other, this worker has config")
