from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dicom_node.jobs import Job, JobState, enqueue, make_celery
from dicom_node.journal.journal import Journal
from dicom_node.queue.assembler import assemble
from dicom_node.queue.reconciler import Reconciler
from dicom_node.queue.redis_server import redis_url, server_command, wait_until_ready, waiting_messages
from dicom_node.series import Instance
from dicom_node.storage.spool import Spool
from worker.settings import Settings, load_settings

STAND_IN = Path(__file__).with_name("stand_in_worker.py")
SETTINGS = """
[node]
data_dir = "{folder}"
[queue]
lease_s = 2.0
requeue_after_s = 1.0
requeue_max_s = 2.0
max_attempts = 3
"""


class Line:
    """A node's loop, a Redis server and workers: real processes on one data directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "lungspread.toml"
        self.config.write_text(SETTINGS.format(folder=folder))
        self.settings: Settings = load_settings(self.config)
        self.spool = Spool(folder)
        self.journal = Journal(self.settings.journal.url_in(folder))
        self.app = make_celery(redis_url(self.settings.queue, folder))
        self.reconciler = Reconciler(self.journal, lambda job: enqueue(self.app, job), self.settings.queue)
        self.log = (folder / "worker.log").open("ab")
        self.processes: list[subprocess.Popen[bytes]] = []
        self.redis = self.start_redis()

    def start_redis(self) -> subprocess.Popen[bytes]:
        self.redis = self._start(server_command(self.folder))
        assert wait_until_ready(redis_url(self.settings.queue, self.folder), 10)
        return self.redis

    def start_worker(self) -> subprocess.Popen[bytes]:
        return self._start([sys.executable, str(STAND_IN), str(self.config)])

    def receive(self, series_uid: str, *files: bytes, config_hash: str = "recipe") -> Job:
        """Take in a series of these files, and queue its job."""
        for number, content in enumerate(files):
            uid = f"{series_uid}.{number}"
            self.spool.write_instance(series_uid, uid, content)
            self.journal.record_instance(instance(series_uid, uid, content), time.time() - 60)
        (job,) = assemble(self.journal, config_hash, 20.0, time.time())
        return job

    def until(self, answer: Callable[[], bool], timeout_s: float = 40.0) -> None:
        """Let the node's loop run until something is so."""
        end = time.monotonic() + timeout_s
        while not answer():
            assert time.monotonic() < end, self.what_happened()
            self.reconciler.step(time.time())
            time.sleep(0.05)

    def until_state(self, job: Job, state: JobState) -> None:
        self.until(lambda: self.journal.job(job.job_key).state is state)

    def what_happened(self) -> str:
        return f"{self.journal.jobs()}\n{(self.folder / 'worker.log').read_text()}"

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.app.close()
        self.journal.close()
        self.log.close()

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        self.processes.append(process)
        return process


def instance(series_uid: str, uid: str, content: bytes) -> Instance:
    return Instance(
        sop_instance_uid=uid,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        series_uid=series_uid,
        study_uid="1.2",
        calling_ae_title="SENDER",
        file_sha256=content.hex(),
    )


def states(line: Line, jobs: list[Job]) -> list[JobState]:
    return [line.journal.job(job.job_key).state for job in jobs]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    line = Line(tmp_path)
    yield line
    line.end()


def test_a_received_series_becomes_documents_in_the_outbox(line: Line) -> None:
    line.start_worker()
    job = line.receive("1.2.3", b"fine", b"slices")

    line.until_state(job, JobState.ANALYSED)

    assert line.spool.document_path(job.job_key, "seg.dcm").read_bytes() == b"fine"
    assert [path.name for path in line.spool.outbox.iterdir()] == [job.job_key]


def test_a_worker_survives_that_redis_is_killed_while_it_waits(line: Line) -> None:
    line.start_worker()
    line.until_state(line.receive("1.2.3", b"before"), JobState.ANALYSED)

    for number in range(3):
        line.redis.kill()
        line.redis.wait()
        job = line.receive(f"1.2.4.{number}", b"while it is away")
        line.reconciler.step(time.time())
        line.start_redis()

        line.until_state(job, JobState.ANALYSED)


def test_a_worker_survives_that_redis_is_killed_while_it_works(line: Line) -> None:
    line.start_worker()
    (line.folder / "hold").touch()
    job = line.receive("1.2.3", b"at work")
    line.until_state(job, JobState.RUNNING)

    line.redis.kill()
    line.redis.wait()
    (line.folder / "hold").unlink()
    line.until_state(job, JobState.ANALYSED)
    time.sleep(0.5)  # so that the acknowledgement has failed: with a prefetch limit, Celery were deaf now
    line.start_redis()

    line.until_state(line.receive("1.2.4", b"afterwards"), JobState.ANALYSED)


def test_a_worker_takes_one_message_at_a_time_and_leaves_the_others_to_others(line: Line) -> None:
    (line.folder / "hold").touch()
    line.start_worker()
    jobs = [line.receive(f"1.2.{number}", b"one of three") for number in range(3)]
    url = redis_url(line.settings.queue, line.folder)
    line.until(lambda: states(line, jobs).count(JobState.RUNNING) == 1)
    assert waiting_messages(url) >= 2

    line.start_worker()

    line.until(lambda: states(line, jobs).count(JobState.RUNNING) == 2)
    (line.folder / "hold").unlink()
    line.until(lambda: states(line, jobs) == [JobState.ANALYSED] * 3)


def test_a_job_whose_worker_is_killed_in_the_middle_is_finished_after_a_restart(line: Line) -> None:
    worker = line.start_worker()
    (line.folder / "hold").touch()
    job = line.receive("1.2.3", b"killed")
    line.until(lambda: bool(list(line.spool.outbox.glob(".*/seg.dcm"))))

    worker.kill()
    worker.wait()
    (line.folder / "hold").unlink()
    line.start_worker()
    line.until_state(job, JobState.ANALYSED)

    assert line.journal.job(job.job_key).attempts == 1
    assert [path.name for path in line.spool.outbox.iterdir()] == [job.job_key]


def test_a_job_that_kills_every_worker_is_given_up(line: Line) -> None:
    (line.folder / "hold").touch()
    job = line.receive("1.2.3", b"deadly")
    for _ in range(line.settings.queue.max_attempts):
        worker = line.start_worker()
        line.until_state(job, JobState.RUNNING)
        worker.kill()
        worker.wait()
        line.until(lambda: line.journal.job(job.job_key).state is not JobState.RUNNING)

    record = line.journal.job(job.job_key)
    assert (record.state, record.reason) == (JobState.FAILED, "its worker ended without an answer")


def test_a_stopped_worker_gives_its_job_back_at_once_and_uncounted(line: Line) -> None:
    worker = line.start_worker()
    (line.folder / "hold").touch()
    job = line.receive("1.2.3", b"stopped")
    line.until_state(job, JobState.RUNNING)

    worker.terminate()

    assert worker.wait(10) == 0
    record = line.journal.job(job.job_key)
    assert (record.state, record.attempts, record.reason) == (
        JobState.QUEUED,
        0,
        "WorkerStopping: the worker was stopped",
    )


def test_a_worker_that_slept_through_its_lease_throws_its_result_away(line: Line) -> None:
    sleeper = line.start_worker()
    (line.folder / "hold").touch()
    job = line.receive("1.2.3", b"slept")
    line.until_state(job, JobState.RUNNING)
    sleeper.send_signal(signal.SIGSTOP)
    line.start_worker()
    line.until(lambda: line.journal.job(job.job_key).attempts == 1)
    line.until_state(job, JobState.RUNNING)
    (line.folder / "hold").unlink()
    line.until_state(job, JobState.ANALYSED)

    sleeper.send_signal(signal.SIGCONT)
    line.until(lambda: "thrown away" in (line.folder / "worker.log").read_text())

    assert line.journal.job(job.job_key).state is JobState.ANALYSED
    assert line.spool.document_path(job.job_key, "seg.dcm").read_bytes() == b"slept"


def test_a_series_that_cannot_be_analysed_is_rejected_with_the_reason(line: Line) -> None:
    line.start_worker()
    job = line.receive("1.2.3", b"reject")

    line.until_state(job, JobState.REJECTED)

    assert line.journal.job(job.job_key).reason == "MissingSlices: a gap of 7.5 mm"
    assert list(line.spool.outbox.iterdir()) == []


def test_a_foreign_error_is_tried_again_then_given_up_and_its_text_is_kept_nowhere(line: Line) -> None:
    line.start_worker()
    job = line.receive("1.2.3", b"broken")

    line.until_state(job, JobState.FAILED)

    record = line.journal.job(job.job_key)
    assert (record.reason, record.attempts) == ("ValueError", 3)
    log = (line.folder / "worker.log").read_text()
    assert "in analyse" in log
    assert "DOE" not in log.replace('raise ValueError("DOE^JANE")', "")


def test_a_full_disk_is_not_the_fault_of_the_job(line: Line) -> None:
    line.start_worker()
    job = line.receive("1.2.3", b"full")

    line.until(lambda: line.journal.job(job.job_key).reason is not None)

    record = line.journal.job(job.job_key)
    assert (record.attempts, record.reason) == (0, "SpoolFull: the disk answered ENOSPC")


def test_a_worker_whose_model_fails_gives_the_job_back_and_ends(line: Line) -> None:
    worker = line.start_worker()
    job = line.receive("1.2.3", b"model")

    line.until(lambda: worker.poll() is not None)

    assert worker.returncode == 1
    record = line.journal.job(job.job_key)
    assert (record.state, record.attempts) == (JobState.QUEUED, 0)
    assert record.reason == "ModelError: the weights have another hash"


def test_a_job_of_another_recipe_waits_and_says_why(line: Line) -> None:
    line.start_worker()
    job = line.receive("1.2.3", b"foreign", config_hash="other")

    line.until(lambda: line.journal.job(job.job_key).reason is not None)

    record = line.journal.job(job.job_key)
    assert record.state is JobState.QUEUED
    assert record.reason is not None
    assert record.reason.startswith("ConfigMismatch: made for recipe other, this worker has recipe")
