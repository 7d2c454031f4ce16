"""What may happen to a worker: jobs that hang or want all memory, a broken machine, a hostile queue."""

from __future__ import annotations

import base64
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import redis

from dicom_node.jobs import QUEUE, TASK, JobState
from dicom_node.queue.redis_server import socket_path
from tests.fixtures.worker.queue.queue_setup import STAND_IN, QueueSetup
from worker.cli.supervisor import Child, end

Start = Callable[..., QueueSetup]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def started(max_attempts: int = 3, more: str = "") -> QueueSetup:
            setup = QueueSetup(tmp_path, max_attempts, more)
            stack.callback(setup.end)
            return setup

        yield started


def log_of(setup: QueueSetup) -> str:
    return (setup.folder / "worker.log").read_text()


def test_a_job_that_hangs_fails_by_its_step_and_the_next_job_runs(start: Start) -> None:
    setup = start(1, "[worker]\nstep_time_limit_s = 1.0")
    child = Child(name="worker", command=[sys.executable, str(STAND_IN), str(setup.config)])
    try:
        hanging, fine = setup.receive("1.2.3", b"hang"), setup.receive("1.2.4", b"fine")

        def both_are_done() -> bool:
            child.check()
            return {setup.journal.jobs.get(job.job_key).state for job in (hanging, fine)} == {
                JobState.FAILED,
                JobState.ANALYSED,
            }

        setup.wait_until(both_are_done)
    finally:
        end([child])

    record = setup.journal.jobs.get(hanging.job_key)
    assert (record.state, record.attempts) == (JobState.FAILED, 1)
    assert record.reason == 'HangingJob: step "segment" made no progress for 1 s (worker.step_time_limit_s)'


def test_a_job_that_needs_too_much_memory_fails_and_its_worker_goes_on(start: Start) -> None:
    setup = start(1, "[worker]\nmemory_limit_mb = 4096")
    worker = setup.start_worker()
    greedy, fine = setup.receive("1.2.3", b"greedy"), setup.receive("1.2.4", b"fine")

    setup.wait_for_state(greedy, JobState.FAILED)
    setup.wait_for_state(fine, JobState.ANALYSED)

    assert worker.poll() is None
    reason = setup.journal.jobs.get(greedy.job_key).reason
    assert reason == "MemoryError: it needs more memory than there is, or than worker.memory_limit_mb allows"


def test_a_worker_waits_for_an_outbox_that_is_gone_and_no_attempt_is_counted(start: Start) -> None:
    setup = start()
    worker = setup.start_worker()
    setup.wait_for_state(setup.receive("1.2.3", b"first"), JobState.ANALYSED)
    setup.spool.outbox.rename(setup.folder / "elsewhere")
    jobs = [setup.receive(f"1.2.{number}", b"fine") for number in range(3)]
    setup.wait_until(lambda: log_of(setup).count("released") >= 2)
    assert {setup.journal.jobs.get(job.job_key).attempts for job in jobs} == {0}

    (setup.folder / "elsewhere").rename(setup.spool.outbox)
    for job in jobs:
        setup.wait_for_state(job, JobState.ANALYSED)

    assert worker.poll() is None
    assert {setup.journal.jobs.get(job.job_key).attempts for job in jobs} == {0}
    waits = [line for line in log_of(setup).splitlines() if "waits for its machine" in line]
    assert len(waits) == 1
    assert (
        f"{setup.spool.outbox}: No such file or directory (ENOENT): check that its file system is mounted" in waits[0]
    )
    assert "the machine is well again" in log_of(setup)


def envelope(task: str = TASK, **headers: object) -> dict[str, object]:
    """A message in kombu's form, of another sender."""
    return {
        "body": base64.b64encode(json.dumps([[], {"job_key": "f" * 64}, {}]).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": task, "id": "1", **headers},
        "properties": {
            "body_encoding": "base64",
            "delivery_tag": "1",
            "delivery_info": {"exchange": "", "routing_key": QUEUE},
        },
    }


def bomb() -> dict[str, object]:
    """200 MB of zeros as a gzip message of 0.3 MB; it would be inflated before anyone looks at it."""
    body = base64.b64encode(zlib.compress(bytes(200_000_000))).decode()
    return envelope(compression="application/x-gzip") | {"body": body}


def test_hostile_messages_are_discarded_and_the_worker_goes_on(start: Start) -> None:
    setup = start()
    worker = setup.start_worker()
    setup.wait_for_state(setup.receive("1.2.3", b"first"), JobState.ANALYSED)
    process = psutil.Process(worker.pid)
    hostile: list[object] = [
        bomb(),
        envelope("celery.backend_cleanup"),
        envelope("no.such.task"),
        envelope(eta="2999-01-01T00:00:00+00:00"),
        envelope() | {"body": base64.b64encode(b"[[], {}, {}]").decode()},
        envelope() | {"body": 7},
        envelope() | {"properties": {}},
        envelope() | {"headers": []},
        [],
        7,
    ]
    texts = [json.dumps(message) for message in hostile] + [
        "not JSON",
        "[" * 100_000,
        "\udcff".encode("utf-8", "surrogateescape"),
    ]
    with redis.Redis(unix_socket_path=str(socket_path(setup.folder))) as client:
        client.lpush(QUEUE, *texts)
        with pytest.raises(redis.RedisError):
            client.lpush(QUEUE, "x" * 2_000_000)

    setup.wait_for_state(setup.receive("1.2.4", b"afterwards"), JobState.ANALYSED)

    assert worker.poll() is None
    assert process.memory_info().rss < 200_000_000
    assert log_of(setup).count("a message was discarded") == len(texts) - 1  # the one with a time is of our task
    assert "Traceback" not in log_of(setup)
