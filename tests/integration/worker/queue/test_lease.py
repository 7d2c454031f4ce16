from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom_node.errors import LeaseLost
from dicom_node.jobs import Job
from dicom_node.journal.journal import Journal
from dicom_node.series import Instance
from worker.queue.lease import Lease


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
        file_sha256="x",
    )
    journal.series.record_instances([received], 0.0)
    (series,) = journal.series.quiet(1.0)
    job = journal.jobs.create(series, "config", 1.0)
    assert job is not None
    assert journal.leases.claim(job.job_key, "worker", time.time() + 0.4, time.time())
    return job


def test_a_lease_is_renewed_inside_its_block_and_expires_after_it(journal: Journal, job: Job) -> None:
    (claimed,) = journal.jobs.running()
    with Lease(journal.leases, job.job_key, "worker", 0.4) as lease:
        time.sleep(1.0)
        lease.check()

    (renewed,) = journal.jobs.running()
    assert renewed.lease_until > claimed.lease_until + 0.5


def test_a_requeued_job_loses_its_lease(journal: Journal, job: Job) -> None:
    with Lease(journal.leases, job.job_key, "worker", 0.4) as lease:
        (running,) = journal.jobs.running()
        journal.jobs.requeue(running, time.time(), max_attempts=5)
        time.sleep(0.3)
        with pytest.raises(LeaseLost, match=job.job_key):
            lease.check()
        with pytest.raises(LeaseLost):
            lease.renew()


def test_a_lease_survives_a_temporarily_locked_journal(journal: Journal, job: Job) -> None:
    with Lease(journal.leases, job.job_key, "worker", 0.4) as lease:
        with journal.database.write():
            time.sleep(0.6)
        lease.renew()
        lease.check()
