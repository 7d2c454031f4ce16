from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from dicom_node.errors import LeaseLost
from dicom_node.jobs import Job
from dicom_node.journal.journal import Journal
from dicom_node.series import Instance
from worker.queue.lease import JobLease, JobLimits, Lease
from worker.queue.progress import JobProgress, WorkerStopping

NO_LIMITS = JobLimits(step_s=60.0, job_s=60.0)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        yield journal


@pytest.fixture
def job(journal: Journal) -> Job:
    """A running job with a lease of 0.4 s."""
    received = Instance(
        sop_instance_uid="1.2.1",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        series_uid="1.2",
        study_uid="1",
        calling_ae_title="SENDER",
        data_set_sha256="x",
    )
    journal.series.record_instances([received], 0.0)
    (series,) = journal.series.quiet(1.0)
    job = journal.jobs.create(series, "config", 1.0)
    assert job is not None
    assert journal.leases.claim(job.job_key, "worker", time.time() + 0.4, time.time())
    return job


def lease_on(journal: Journal, job: Job, limits: JobLimits = NO_LIMITS, hanging: list[str] | None = None) -> Lease:
    lease = JobLease(journal=journal.leases, job_key=job.job_key, owner="worker", lease_s=0.4)
    return Lease(lease, limits, (hanging if hanging is not None else []).append)


def lease_until(journal: Journal) -> float:
    (running,) = journal.jobs.running()
    return running.lease_until


def test_a_lease_is_renewed_inside_its_block_and_not_after_it(journal: Journal, job: Job) -> None:
    claimed = lease_until(journal)
    with lease_on(journal, job) as lease:
        time.sleep(1.0)
        lease.check()

    renewed = lease_until(journal)
    assert renewed > claimed + 0.5
    time.sleep(0.3)
    assert lease_until(journal) == renewed


def test_a_requeued_job_loses_its_lease(journal: Journal, job: Job) -> None:
    with lease_on(journal, job) as lease:
        (running,) = journal.jobs.running()
        journal.jobs.requeue(running, time.time(), max_attempts=5)
        time.sleep(0.3)
        with pytest.raises(LeaseLost, match=job.job_key):
            lease.check()
        with pytest.raises(LeaseLost):
            lease.renew()


def test_a_lease_survives_a_temporarily_locked_journal(journal: Journal, job: Job) -> None:
    with lease_on(journal, job) as lease:
        with journal.database.write():
            time.sleep(0.6)
        lease.renew()
        lease.check()


def test_a_step_without_progress_ends_the_lease_and_progress_does_not(journal: Journal, job: Job) -> None:
    hanging: list[str] = []
    with lease_on(journal, job, JobLimits(step_s=0.4, job_s=60.0), hanging) as lease:
        progress = JobProgress(lease=lease, stopping=Event())
        progress.enter("segment")
        for _ in range(12):
            time.sleep(0.1)
            progress(0.5)
        assert hanging == []

        time.sleep(1.0)
        assert hanging == ['step "segment" made no progress for 0.4 s (worker.step_time_limit_s)']
        unrenewed = lease_until(journal)
        time.sleep(0.3)
        assert lease_until(journal) == unrenewed


def test_a_job_that_makes_progress_for_ever_ends_at_its_limit(journal: Journal, job: Job) -> None:
    hanging: list[str] = []
    with lease_on(journal, job, JobLimits(step_s=60.0, job_s=0.4), hanging) as lease:
        lease.enter("compare")
        for _ in range(8):
            time.sleep(0.1)
            lease.advance()

    assert hanging == ['not done in 0.4 s (worker.job_time_limit_s), at step "compare"']


def test_a_job_whose_steps_are_over_waits_for_its_journal_without_a_limit(journal: Journal, job: Job) -> None:
    hanging: list[str] = []
    with lease_on(journal, job, JobLimits(step_s=0.2, job_s=0.2), hanging) as lease:
        lease.enter("write")
        lease.end_steps()
        time.sleep(0.6)

    assert hanging == []


def test_a_stopped_worker_ends_its_job_at_the_next_step(journal: Journal, job: Job) -> None:
    stopping = Event()
    with lease_on(journal, job) as lease:
        progress = JobProgress(lease=lease, stopping=stopping)
        progress.enter("read")
        stopping.set()
        with pytest.raises(WorkerStopping):
            progress.enter("segment")


def test_a_process_whose_code_never_releases_the_interpreter_ends_all_the_same() -> None:
    holds_the_gil = "import re; re.match('(a+)+$', 'a' * 60 + 'b')"
    script = f"from worker.queue.lease import exit_unless_called_within as within; within(0.5); {holds_the_gil}"

    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 1
    assert "Timeout" in ended.stderr
