from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dicom_node.errors import ForbiddenChange, InstancesRemoved, JournalUnavailable, UnknownJob
from dicom_node.jobs import Job, JobState, job_key
from dicom_node.journal.job_states import ALLOWED, change
from dicom_node.journal.journal import Journal
from dicom_node.series import Document, Instance, Series, images_sha256

CT = "1.2.840.10008.5.1.4.1.1.2"
SEG = Document(sop_class_uid="1.2.840.10008.5.1.4.1.1.66.4", sop_instance_uid="2.25.1", file_name="seg.dcm")


def instance(number: int, series_uid: str = "1.2", data_set_sha256: str = "first") -> Instance:
    return Instance(
        sop_instance_uid=f"{series_uid}.{number}",
        sop_class_uid=CT,
        series_uid=series_uid,
        study_uid="1",
        calling_ae_title="SENDER",
        data_set_sha256=data_set_sha256,
    )


def receive(journal: Journal, *numbers: int, series_uid: str = "1.2", now: float = 100.0) -> Series:
    for number in numbers:
        journal.series.record_instances([instance(number, series_uid)], now)
    (series,) = journal.series.quiet(now + 1)
    return series


def queued(
    journal: Journal, *numbers: int, series_uid: str = "1.2", config_hash: str = "config", now: float = 100.0
) -> Job:
    job = journal.jobs.create(receive(journal, *numbers, series_uid=series_uid, now=now), config_hash, now)
    assert job is not None
    return job


def changed(journal: Journal, content: str, now: float) -> Job:
    """The job after the first instance was received with other content."""
    journal.series.record_instances([instance(1, data_set_sha256=content)], now)
    (series,) = journal.series.quiet(now + 1)
    job = journal.jobs.create(series, "config", now + 1)
    assert job is not None
    return job


def running(journal: Journal, now: float = 100.0) -> Job:
    job = queued(journal, 1, 2)
    assert journal.leases.claim(job.job_key, "worker", now + 60, now)
    return job


def state(journal: Journal, job: Job) -> JobState:
    return journal.jobs.get(job.job_key).state


# -- received series --


def test_an_instance_is_new_once_and_again_when_its_file_changed(journal: Journal) -> None:
    assert journal.series.record_instances([instance(1)], 100.0) == 1
    assert journal.series.record_instances([instance(1)], 101.0) == 0
    assert journal.series.record_instances([instance(1, data_set_sha256="second"), instance(2)], 102.0) == 2


def test_a_series_is_quiet_only_after_its_last_arrival_and_has_sorted_instances(journal: Journal) -> None:
    for number in (3, 1, 2):
        journal.series.record_instances([instance(number)], 100.0 + number)
    journal.series.record_instances([instance(2)], 110.0)

    assert journal.series.quiet(110.0) == []
    assert journal.series.quiet(110.1) == [
        Series(series_uid="1.2", study_uid="1", sop_instance_uids=("1.2.1", "1.2.2", "1.2.3"))
    ]


def test_one_sop_instance_uid_in_two_series_is_stored_for_both(journal: Journal) -> None:
    for series_uid in ("1.2", "1.3"):
        same = Instance(
            sop_instance_uid="9.9",
            sop_class_uid=CT,
            series_uid=series_uid,
            study_uid="1",
            calling_ae_title="SENDER",
            data_set_sha256="x",
        )
        assert journal.series.record_instances([same], 100.0) == 1

    assert [series.sop_instance_uids for series in journal.series.quiet(101.0)] == [("9.9",), ("9.9",)]


def test_the_stored_ones_of_a_thousand_instances_are_returned(journal: Journal) -> None:
    receive(journal, 5, 700)

    assert journal.series.stored_among({f"1.2.{number}" for number in range(1000)}) == {"1.2.5", "1.2.700"}


# -- jobs, used by the node --


def test_a_quiet_series_becomes_one_queued_job_and_is_no_longer_dirty(journal: Journal) -> None:
    job = queued(journal, 2, 1)

    record = journal.jobs.get(job.job_key)
    assert job.job_key == job_key(images_sha256("1.2", [("1.2.1", "first"), ("1.2.2", "first")]), "config")
    assert (record.job, record.state, record.sop_instance_uids) == (job, JobState.QUEUED, ("1.2.1", "1.2.2"))
    assert journal.series.quiet(1000.0) == []
    assert [found.job for found in journal.jobs.due_for_enqueue(100.0)] == [job]


def test_a_slice_that_arrives_while_the_job_is_created_is_included_later(journal: Journal) -> None:
    seen = receive(journal, 1, 2)
    journal.series.record_instances([instance(3)], 101.0)

    assert journal.jobs.create(seen, "config", 102.0) is None
    (again,) = journal.series.quiet(200.0)
    assert again.sop_instance_uids == ("1.2.1", "1.2.2", "1.2.3")


def test_late_slices_make_a_new_job_and_the_first_is_superseded(journal: Journal) -> None:
    first = queued(journal, 1, 2)
    second = queued(journal, 3, now=200.0)

    record = journal.jobs.get(first.job_key)
    assert (record.state, record.reason) == (JobState.SUPERSEDED, f"replaced by job {second.job_key}")
    assert state(journal, second) is JobState.QUEUED


def test_the_same_series_sent_again_makes_no_new_job(journal: Journal) -> None:
    job = queued(journal, 1, 2)
    journal.series.record_instances([instance(1)], 200.0)
    assert journal.series.quiet(300.0) == []
    journal.series.reopen("1.2")
    (series,) = journal.series.quiet(300.0)

    assert journal.jobs.create(series, "config", 300.0) is None
    assert [record.job for record in journal.jobs.find()] == [job]


def test_a_series_sent_again_with_other_content_makes_a_job_that_replaces_the_first_whatever_its_state(
    journal: Journal,
) -> None:
    first = running(journal)
    journal.leases.mark_rejected(first.job_key, "worker", "truncated", 110.0)
    second = changed(journal, "repaired", 200.0)
    third = changed(journal, "repaired again", 300.0)

    assert len({first.job_key, second.job_key, third.job_key}) == 3
    assert [state(journal, job) for job in (first, second)] == [JobState.SUPERSEDED] * 2
    assert state(journal, third) is JobState.QUEUED


def test_a_first_version_that_comes_back_is_the_first_job_again(journal: Journal) -> None:
    first = queued(journal, 1, 2)
    second = changed(journal, "corrected", 200.0)

    assert changed(journal, "first", 300.0) == first
    assert (state(journal, first), state(journal, second)) == (JobState.QUEUED, JobState.SUPERSEDED)


def test_a_series_changed_while_its_job_runs_is_another_job_at_once(journal: Journal) -> None:
    job = running(journal)
    second = changed(journal, "repaired", 110.0)

    assert state(journal, second) is JobState.QUEUED
    assert not journal.leases.mark_analysed(job.job_key, "worker", [SEG], 201.0), "its result is not delivered"


def test_no_job_is_made_of_a_series_that_has_changed_since_it_was_found_quiet(journal: Journal) -> None:
    found = receive(journal, 1, 2)
    journal.series.record_instances([instance(1, data_set_sha256="corrected")], 110.0)

    assert journal.jobs.create(found, "config", 120.0) is None
    assert journal.series.quiet(120.0) != []


def test_a_queued_job_of_a_replaced_model_is_superseded_and_may_be_queued_again(journal: Journal) -> None:
    old = queued(journal, 1, 2, config_hash="old")

    assert journal.jobs.reopen_outdated("new") == 1
    new = queued(journal, config_hash="new", now=200.0)
    assert journal.jobs.reopen_outdated("new") == 0
    assert (state(journal, old), state(journal, new)) == (JobState.SUPERSEDED, JobState.QUEUED)

    assert journal.jobs.reopen_outdated("old") == 1
    assert queued(journal, config_hash="old", now=300.0) == old
    assert (state(journal, old), state(journal, new)) == (JobState.QUEUED, JobState.SUPERSEDED)


def test_a_job_is_due_for_enqueue_again_only_after_its_pause(journal: Journal) -> None:
    job = queued(journal, 1)
    journal.jobs.mark_enqueued(job.job_key, 130.0)

    assert journal.jobs.due_for_enqueue(129.0) == []
    assert [record.enqueue_count for record in journal.jobs.due_for_enqueue(130.0)] == [1]


def test_a_job_whose_lease_was_not_renewed_is_requeued_until_the_last_attempt(journal: Journal) -> None:
    job = queued(journal, 1)
    for attempt in (1, 2):
        now = 1000.0 * attempt
        assert journal.leases.claim(job.job_key, "worker", now + 60, now)
        (claimed,) = journal.jobs.running()
        journal.leases.renew(job.job_key, "worker", now + 75)
        assert journal.jobs.requeue(claimed, now + 61, max_attempts=2) is JobState.RUNNING
        (renewed,) = journal.jobs.running()
        assert renewed.job_key == job.job_key
        last = journal.jobs.requeue(renewed, now + 136, max_attempts=2)

    record = journal.jobs.get(job.job_key)
    assert last is record.state is JobState.FAILED
    assert (record.attempts, record.reason) == (2, "its worker ended without a result")


def test_jobs_are_listed_by_state_the_oldest_first(journal: Journal) -> None:
    second = queued(journal, 1, series_uid="1.3", now=200.0)
    first = queued(journal, 1, series_uid="1.2", now=100.0)

    assert [record.job for record in journal.jobs.find()] == [first, second]
    assert journal.jobs.find([JobState.RUNNING]) == []


def test_an_unknown_job_raises(journal: Journal) -> None:
    with pytest.raises(UnknownJob):
        journal.jobs.get("0" * 64)


# -- jobs, used by a worker --


def test_a_lease_is_renewed_by_its_owner_alone(journal: Journal) -> None:
    job = running(journal)

    assert journal.leases.renew(job.job_key, "worker", 500.0)
    assert not journal.leases.renew(job.job_key, "another", 900.0)
    assert [job.lease_until for job in journal.jobs.running()] == [500.0]


def test_the_result_of_a_worker_without_its_lease_is_not_recorded(journal: Journal) -> None:
    job = running(journal)
    (unrenewed,) = journal.jobs.running()
    journal.jobs.requeue(unrenewed, 1000.0, max_attempts=5)
    journal.leases.claim(job.job_key, "another", 2000.0, 1000.0)

    assert not journal.leases.renew(job.job_key, "worker", 2000.0)
    assert not journal.leases.mark_analysed(job.job_key, "worker", [SEG], 1001.0)
    assert not journal.leases.mark_rejected(job.job_key, "worker", "reason", 1001.0)
    assert not journal.leases.release(job.job_key, "worker", "reason", 1001.0, 5)
    assert journal.leases.mark_analysed(job.job_key, "another", [SEG], 1002.0)


def test_a_superseded_running_job_has_lost_its_lease(journal: Journal) -> None:
    job = running(journal)
    queued(journal, 3, now=200.0)

    assert not journal.leases.renew(job.job_key, "worker", 300.0)
    assert not journal.leases.mark_analysed(job.job_key, "worker", [SEG], 300.0)


def test_a_released_job_waits_for_its_pause_and_fails_after_its_last_attempt(journal: Journal) -> None:
    job = running(journal)
    assert journal.leases.release(job.job_key, "worker", "ValueError", 110.0, 2, pause_s=30.0)
    assert journal.jobs.due_for_enqueue(139.0) == []
    assert [record.attempts for record in journal.jobs.due_for_enqueue(140.0)] == [1]

    journal.leases.claim(job.job_key, "worker", 300.0, 200.0)
    assert journal.leases.release(job.job_key, "worker", "ValueError", 210.0, 2)
    assert (state(journal, job), journal.jobs.get(job.job_key).reason) == (JobState.FAILED, "ValueError")


def test_a_failure_without_max_attempts_is_not_counted(journal: Journal) -> None:
    job = running(journal)
    journal.leases.release(job.job_key, "worker", "ModelError", 110.0, None)

    record = journal.jobs.get(job.job_key)
    assert (record.state, record.attempts, record.reason) == (JobState.QUEUED, 0, "ModelError")


# -- retry --


@pytest.mark.parametrize("end", ["rejected", "failed", "analysed"])
def test_a_finished_job_is_retried(journal: Journal, end: str) -> None:
    job = running(journal)
    if end == "rejected":
        journal.leases.mark_rejected(job.job_key, "worker", "reason", 110.0)
    elif end == "failed":
        journal.leases.release(job.job_key, "worker", "reason", 110.0, 1)
    else:
        journal.leases.mark_analysed(job.job_key, "worker", [SEG], 110.0)

    journal.jobs.retry(job.job_key, 200.0)

    record = journal.jobs.get(job.job_key)
    assert (record.state, record.attempts, record.reason) == (JobState.QUEUED, 0, None)
    assert journal.jobs.due_for_enqueue(200.0) == [record]


def test_a_queued_or_running_job_is_not_retried(journal: Journal) -> None:
    job = queued(journal, 1, 2)
    with pytest.raises(ForbiddenChange, match="QUEUED already"):
        journal.jobs.retry(job.job_key, 110.0)
    journal.leases.claim(job.job_key, "worker", 200.0, 110.0)
    with pytest.raises(ForbiddenChange, match="RUNNING already"):
        journal.jobs.retry(job.job_key, 120.0)


def test_a_job_whose_series_was_removed_is_not_retried(journal: Journal) -> None:
    job = running(journal)
    journal.leases.mark_rejected(job.job_key, "worker", "reason", 110.0)
    journal.series.forget("1.2")

    with pytest.raises(InstancesRemoved, match="2 of 2 instances"):
        journal.jobs.retry(job.job_key, 200.0)


def test_a_series_with_new_instances_is_not_deleted(journal: Journal) -> None:
    running(journal)
    journal.series.record_instances([instance(3)], 110.0)
    journal.series.forget("1.2")

    assert journal.series.stored_among(["1.2.1", "1.2.3"]) == {"1.2.1", "1.2.3"}


# -- changes of state --


def test_exactly_the_allowed_changes_of_state_are_made(journal: Journal) -> None:
    job = queued(journal, 1)
    paths = {JobState.QUEUED: [JobState.QUEUED]}
    for at, path in (found := list(paths.items())):
        new = {to: [*path, to] for to in ALLOWED[at] if to not in paths}
        paths |= new
        found += new.items()
    assert set(paths) == set(JobState)

    for start in JobState:
        for target in JobState:
            _bring_to(journal, job, paths[start])
            with journal.database.write() as connection:
                if target in ALLOWED[start]:
                    change(connection, job.job_key, target, 200.0)
                else:
                    with pytest.raises(ForbiddenChange, match=f"is {start}, it cannot become {target}"):
                        change(connection, job.job_key, target, 200.0)
            assert state(journal, job) is (target if target in ALLOWED[start] else start)


def _bring_to(journal: Journal, job: Job, path: list[JobState]) -> None:
    detour = {JobState.QUEUED: [JobState.SUPERSEDED], JobState.RUNNING: [JobState.FAILED]}
    at = state(journal, job)
    with journal.database.write() as connection:
        for step in [*detour.get(at, []), *path]:
            change(connection, job.job_key, step, 100.0)


def test_the_state_of_an_unknown_job_cannot_be_changed(journal: Journal) -> None:
    with journal.database.write() as connection, pytest.raises(UnknownJob):
        change(connection, "0" * 64, JobState.RUNNING, 100.0)


# -- several threads and processes --

CLAIM = """
import sys, time
from dicom_node.journal.journal import Journal
with Journal(sys.argv[1]) as journal:
    print("ready", flush=True)
    sys.stdin.readline()
    print([journal.leases.claim(key, sys.argv[2], 1e12, time.time()) for key in sys.argv[3:]].count(True))
"""
RECORD = """
import sys
from dicom_node.journal.journal import Journal
from dicom_node.series import Instance
journal = Journal(sys.argv[1])
for number in range(100000):
    received = Instance(sop_instance_uid=f"1.2.{number}", sop_class_uid="1", series_uid="1.2", study_uid="1",
                        calling_ae_title="SENDER", data_set_sha256="x")
    journal.series.record_instances([received], 100.0)
    print(number, flush=True)
"""


def test_each_of_twenty_jobs_is_claimed_by_exactly_one_of_six_processes(journal_url: str, journal: Journal) -> None:
    keys = [queued(journal, 1, series_uid=f"1.2.{number}").job_key for number in range(20)]
    claimers = [_python(CLAIM, journal_url, f"worker {number}", *keys) for number in range(6)]
    for claimer in claimers:
        assert claimer.stdout is not None
        assert claimer.stdout.readline() == "ready\n"
    for claimer in claimers:
        assert claimer.stdin is not None
        claimer.stdin.write("go\n")
        claimer.stdin.flush()

    claims = [int(claimer.communicate(timeout=60)[0]) for claimer in claimers]

    assert sum(claims) == len(keys)
    assert {record.state for record in journal.jobs.find()} == {JobState.RUNNING}


def test_instances_recorded_before_a_sigkill_are_complete_in_the_journal(journal_url: str, journal: Journal) -> None:
    for pause_s in (0.05, 0.11, 0.23):
        recorder = _python(RECORD, journal_url)
        assert recorder.stdout is not None
        assert recorder.stdout.readline() == "0\n"
        time.sleep(pause_s)
        recorder.kill()
        recorded = 1 + recorder.communicate()[0].count("\n")

        (series,) = journal.series.quiet(1000.0)
        held = journal.series.stored_among({f"1.2.{number}" for number in range(recorded)})
        assert len(held) == recorded
        assert set(series.sop_instance_uids) == journal.series.stored_among(series.sop_instance_uids)


def test_many_threads_record_at_once(journal: Journal) -> None:
    def record(thread: int) -> None:
        for number in range(10):
            journal.series.record_instances([instance(thread * 100 + number)], 100.0)

    threads = [threading.Thread(target=record, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (series,) = journal.series.quiet(101.0)
    assert len(series.sop_instance_uids) == 160


def test_six_processes_create_one_journal_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/journal.db"
    makers = [_python(CLAIM, url, "worker") for _ in range(6)]

    assert [maker.communicate("go\n", timeout=60)[0] for maker in makers] == ["ready\n0\n"] * 6


def test_a_sqlite_journal_is_durable_and_readable_during_writes(tmp_path: Path) -> None:
    with Journal(f"sqlite:///{tmp_path}/journal.db") as journal:
        with journal.database.read() as connection:
            pragmas = ["journal_mode", "synchronous", "foreign_keys", "busy_timeout"]
            found = [connection.exec_driver_sql(f"PRAGMA {pragma}").scalar() for pragma in pragmas]
        with journal.database.write():
            assert journal.jobs.find() == []

    assert found == ["wal", 2, 1, 30000]  # synchronous = 2 is FULL


def test_a_journal_that_cannot_be_opened_raises_one_line(tmp_path: Path) -> None:
    (tmp_path / "journal.db").mkdir()

    with pytest.raises(JournalUnavailable, match=r"\Athe journal's database does not respond: [^\n]+\Z"):
        Journal(f"sqlite:///{tmp_path}/journal.db")


def _python(program: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
