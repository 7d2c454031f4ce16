"""The supervisor of `lungspread serve`: embedded Redis, node and worker as child processes. Computes nothing itself.

A child that ends is started again, after growing pauses. When the supervisor ends, however it ends, so do they: all
three may be killed at any moment, for the journal is the truth.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dicom_node.errors import RedisNotStarted
from dicom_node.queue.reconciler import growing_pause
from dicom_node.queue.redis_server import redis_url, server_command, wait_until_ready
from dicom_node.settings import QueueSettings
from dicom_node.storage.spool import sole_use
from worker.settings import Settings

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.2
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 15.0
_WELL_AFTER_S = 20.0
_GRACE_S = 15.0
_REDIS_LOADS_S = 120.0
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)


@dataclass(slots=True, kw_only=True)
class Child:
    """A process that is to run all the time."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    """How often it ended soon after its start, without a longer run between."""
    start_at: float = 0.0

    def start(self) -> subprocess.Popen[bytes]:
        """Start it; its end is bound to ours, and Ctrl-C in the terminal is not for it."""
        self.process = subprocess.Popen(  # noqa: S603 - our own command line
            self.command,
            start_new_session=True,
            preexec_fn=_bound_to(os.getpid()),  # noqa: PLW1509 - the supervisor has one thread
        )
        self.started_at = time.monotonic()
        return self.process

    def look(self) -> None:
        """Start it again when it has ended and its pause is over."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.start_at:
                self.start()
        elif (code := self.process.poll()) is not None:
            self.failures = 0 if now - self.started_at >= _WELL_AFTER_S else self.failures + 1
            pause = growing_pause(_FIRST_PAUSE_S, _LONGEST_PAUSE_S, max(self.failures - 1, 0))
            log.error("%s ended with exit code %d, next start in %.1f s", self.name, code, pause)
            self.process, self.start_at = None, now + pause


def serve(settings: Settings, config: Path | None) -> int:
    """Run Redis (if it is the embedded one), node and worker until a signal comes, and return the exit code.

    Raises RedisNotStarted and DataDirInUse.
    """
    with sole_use(settings.node.data_dir):
        with_config = ["--config", str(config)] if config else []
        ours = [
            Child(name=name, command=[sys.executable, "-m", "worker.cli", name, *with_config])
            for name in ("node", "worker")
        ]
        supervise(_redis(settings.queue, settings.node.data_dir), ours)
    return 0


def supervise(first: Sequence[Child], then: Sequence[Child]) -> None:
    """Keep the children running, `first` before `then`, until SIGTERM or SIGINT; end them in the other order."""
    told_to_end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_end.set())
    children = [*first, *then]
    try:
        while not told_to_end.wait(_LOOK_EVERY_S):
            for child in children:
                child.look()
    finally:
        end(then)
        end(first)


def end(children: Sequence[Child]) -> None:
    """Ask the children to end, wait, and kill those that do not."""
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    last_moment = time.monotonic() + _GRACE_S
    for process in running:
        try:
            process.wait(max(0.0, last_moment - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _redis(queue: QueueSettings, data_dir: Path) -> list[Child]:
    """Start the embedded Redis, if that is the one, so that node and worker find it well."""
    if queue.url != "embedded":
        return []
    child = Child(name="redis", command=server_command(data_dir))
    process = child.start()
    if not wait_until_ready(redis_url(queue, data_dir), _REDIS_LOADS_S, lambda: process.poll() is None):
        end([child])
        raise RedisNotStarted(f"the embedded Redis did not become ready, exit code {process.returncode}")
    return [child]


def _bound_to(parent: int) -> Callable[[], None]:
    """Return what binds the end of a new process to that of its parent, even of a killed one (Linux)."""

    def bind() -> None:
        if sys.platform == "linux":
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return bind
