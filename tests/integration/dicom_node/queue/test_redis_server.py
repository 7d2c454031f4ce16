from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from dicom_node.errors import RedisNotStarted
from dicom_node.jobs import QUEUE
from dicom_node.queue.redis_server import (
    embedded_version,
    is_ready,
    redis_url,
    server_command,
    socket_path,
    version_at,
    wait_until_ready,
    waiting_messages,
)
from dicom_node.settings import QueueSettings

EMBEDDED = QueueSettings()


class Server:
    """An embedded Redis server that can be killed and restarted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = redis_url(EMBEDDED, folder)
        self.process = self.start()

    def start(self) -> subprocess.Popen[bytes]:
        self.process = subprocess.Popen(server_command(self.folder), stdout=subprocess.DEVNULL)
        assert wait_until_ready(self.url, 10, lambda: self.process.poll() is None)
        return self.process

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(socket_path(self.folder)))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.kill()


def test_queued_messages_survive_a_killed_server(server: Server) -> None:
    with server.client() as client:
        client.rpush(QUEUE, *[f"message {number}" for number in range(100)])
    time.sleep(1.5)  # appendfsync everysec

    for _ in range(3):
        server.kill()
        assert not is_ready(server.url)
        server.start()

    with server.client() as client:
        assert client.lrange(QUEUE, 0, -1) == [f"message {number}".encode() for number in range(100)]
    assert waiting_messages(server.url) == 100


def test_a_truncated_append_only_file_is_read_up_to_its_last_complete_command(server: Server, tmp_path: Path) -> None:
    with server.client() as client:
        client.rpush(QUEUE, "first", "second")
        client.rpush(QUEUE, "third")
    time.sleep(1.5)
    server.kill()
    (file,) = (tmp_path / "redis").rglob("*.aof")
    file.write_bytes(file.read_bytes()[:-5])

    server.start()

    assert waiting_messages(server.url) == 2


def test_the_server_listens_on_a_private_socket_and_on_no_port(server: Server, tmp_path: Path) -> None:
    path = socket_path(tmp_path)

    assert server.url == f"redis+socket://{tmp_path}/redis/redis.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with server.client() as client:
        assert client.config_get("port") == {"port": "0"}


def test_a_server_that_does_not_run_is_not_ready_and_has_no_messages(tmp_path: Path) -> None:
    url = redis_url(EMBEDDED, tmp_path)

    assert not is_ready(url)
    assert waiting_messages(url) == 0
    assert not wait_until_ready(url, 0.2)
    assert not wait_until_ready(url, 60.0, lambda: False)


def test_a_data_directory_too_deep_for_a_socket_path_gets_a_short_private_folder(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    path = socket_path(deep)
    server = Server(deep)
    try:
        assert len(os.fsencode(path)) <= 107
        assert path == socket_path(deep)
        assert path != socket_path(tmp_path / ("e" * 100))
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert is_ready(server.url)
        assert (deep / "redis").is_dir()
    finally:
        server.kill()
        shutil.rmtree(path.parent)


def test_a_folder_writable_by_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis").chmod(0o777)

    with pytest.raises(RedisNotStarted, match="not writable by others"):
        server_command(tmp_path)


def test_a_folder_that_others_may_read_is_made_private(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir(mode=0o755)

    server_command(tmp_path)

    assert stat.S_IMODE((tmp_path / "redis").stat().st_mode) == 0o700


def test_the_embedded_server_has_no_holes_that_are_known(server: Server, tmp_path: Path) -> None:
    running = version_at(server.url)

    assert running is not None
    assert (running.name, running.needed) == ("Valkey", "")
    assert embedded_version(tmp_path) == running


def test_a_configured_redis_url_is_returned_unchanged(tmp_path: Path) -> None:
    assert redis_url(QueueSettings(url="rediss://host:6380/1"), tmp_path) == "rediss://host:6380/1"
