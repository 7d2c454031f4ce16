from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import redis
from celery import Celery

from dicom_node.errors import QueueUnavailable
from dicom_node.jobs import QUEUE, TASK, Job, enqueue, job_key, make_celery
from dicom_node.queue.redis_server import redis_url, server_command, socket_path, wait_until_ready, waiting_messages
from dicom_node.series import images_sha256
from dicom_node.settings import QueueSettings

JOB = Job(job_key="0" * 64, study_uid="1.2", series_uid="1.2.3", config_hash="abc")


class Queue:
    """A Redis server and a Celery application on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = redis_url(QueueSettings(), folder)
        self.app: Celery = make_celery(self.url)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(server_command(self.folder), stdout=subprocess.DEVNULL)
        assert wait_until_ready(self.url, 10)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    queue = Queue(tmp_path)
    queue.start()
    yield queue
    queue.app.close()
    queue.kill()


def test_a_job_key_is_the_hash_of_the_series_with_its_content_and_of_the_config_hash() -> None:
    stored = [("1.2.10", "bb"), ("1.2.9", "aa")]
    images = images_sha256("1.2", stored)

    assert images == hashlib.sha256(b"1.2\n1.2.10 bb\n1.2.9 aa").hexdigest()
    assert job_key(images, "abc") == hashlib.sha256(f"{images}\nabc".encode()).hexdigest()
    assert images_sha256("1.2", reversed(stored)) == images
    other_content, fewer = [("1.2.10", "bb"), ("1.2.9", "ac")], [("1.2.9", "aa")]
    others = {images_sha256("1.3", stored), images_sha256("1.2", other_content), images_sha256("1.2", fewer)}
    assert len({*others, images}) == 4, "another series, other content, fewer instances"
    assert job_key(images, "abc") != job_key(images, "abd") != job_key(images, "abd", ("prior",))


def test_a_message_is_json_with_uids_and_a_version_only(queue: Queue) -> None:
    enqueue(queue.app, JOB)

    with redis.Redis(unix_socket_path=str(socket_path(queue.folder))) as client:
        (raw,) = client.lrange(QUEUE, 0, -1)
    message = json.loads(raw)
    positional, named, _ = json.loads(base64.b64decode(message["body"]))
    assert message["content-type"] == "application/json"
    assert message["headers"]["task"] == TASK
    assert (positional, named) == ([], asdict(JOB))
    assert set(named) == {"job_key", "study_uid", "series_uid", "config_hash", "schema_version"}


def test_an_unavailable_queue_raises_within_seconds(queue: Queue) -> None:
    queue.kill()
    begin = time.monotonic()

    with pytest.raises(QueueUnavailable, match=f"job {JOB.job_key}: not enqueued"):
        enqueue(queue.app, JOB)

    assert time.monotonic() - begin < 5.0


def test_a_node_enqueues_again_after_redis_was_killed_and_restarted(queue: Queue) -> None:
    for enqueued in range(1, 4):
        enqueue(queue.app, JOB)
        time.sleep(1.2)  # appendfsync everysec
        queue.kill()
        with pytest.raises(QueueUnavailable):
            enqueue(queue.app, JOB)
        queue.start()

        assert waiting_messages(queue.url) == enqueued
