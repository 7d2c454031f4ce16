"""The supervisor of `lungspread serve`: runs embedded Redis, node and worker as child processes.

A child that exits is restarted after a growing pause. The children end with the supervisor, even if it is killed. Any
of them may be killed at any moment: the state of every job is in the journal.
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

from dicom_node.errors import JournalDamaged, RedisNotStarted
from dicom_node.queue.reconciler import backoff_s
from dicom_node.queue.redis_server import redis_url, server_command, wait_until_ready
from dicom_node.settings import QueueSettings
from dicom_node.storage.spool import sole_use
from worker.cli.terminal import DAMAGED
from worker.settings import Settings

log = logging.getLogger(__name__)

_POLL_S = 0.2
_RESTART_PAUSE_S, _RESTART_PAUSE_MAX_S = 0.5, 15.0
_STABLE_AFTER_S = 20.0
_GRACE_S = 15.0
_REDIS_START_TIMEOUT_S = 120.0
_PR_SET_PDEATHSIG = 1  # prctl(2)
_LIBC = ctypes.CDLL(None)


@dataclass(slots=True, kw_only=True)
class Child:
    """A process that is kept running."""

    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    """Consecutive exits within 20 s of the start."""
    start_at: float = 0.0

    def start(self) -> subprocess.Popen[bytes]:
        """Start the process in a session of its own, out of reach of Ctrl-C; it is killed when the supervisor ends."""
        self.process = subprocess.Popen(  # noqa: S603 - our own command line
            self.command,
            start_new_session=True,
            preexec_fn=_die_with_parent(os.getpid()),  # noqa: PLW1509 - the supervisor has one thread
        )
        self.started_at = time.monotonic()
        return self.process

    def check(self) -> None:
        """Restart the process if it has exited and its pause is over. Raises JournalDamaged if it ended for that."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.start_at:
                self.start()
        elif (code := self.process.poll()) is not None:
            self.failures = 0 if now - self.started_at >= _STABLE_AFTER_S else self.failures + 1
            pause = backoff_s(_RESTART_PAUSE_S, _RESTART_PAUSE_MAX_S, max(self.failures - 1, 0))
            log.error("%s ended with exit code %d, next start in %.1f s", self.name, code, pause)
            self.process, self.start_at = None, now + pause
            if code == DAMAGED:
                raise JournalDamaged(f"{self.name} has ended")


def run_service(settings: Settings, config: Path | None) -> int:
    """Run node, worker and, if queue.url is "embedded", Redis until SIGTERM or SIGINT; return the exit code.

    Raises RedisNotStarted if Redis does not become ready, DataDirInUse if another service uses the data directory.
    """
    with sole_use(settings.node.data_dir):
        with_config = ["--config", str(config)] if config else []
        children = [
            Child(name=name, command=[sys.executable, "-m", "worker.cli", name, *with_config])
            for name in ("node", "worker")
        ]
        supervise(_redis(settings.queue, settings.node.data_dir), children)
    return 0


def supervise(first: Sequence[Child], then: Sequence[Child]) -> None:
    """Keep the children running, `first` before `then`, until SIGTERM or SIGINT; then end them in reverse order."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    children = [*first, *then]
    try:
        while not stop.wait(_POLL_S):
            for child in children:
                child.check()
    finally:
        end(then)
        end(first)


def end(children: Sequence[Child]) -> None:
    """Send SIGTERM to the children, wait 15 s, and kill those that still run."""
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + _GRACE_S
    for process in running:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _redis(queue: QueueSettings, data_dir: Path) -> list[Child]:
    """Start the embedded Redis, if it is configured, and wait until it is ready."""
    if queue.url != "embedded":
        return []
    child = Child(name="redis", command=server_command(data_dir))
    process = child.start()
    if not wait_until_ready(redis_url(queue, data_dir), _REDIS_START_TIMEOUT_S, lambda: process.poll() is None):
        end([child])
        raise RedisNotStarted(f"the embedded Redis did not become ready, exit code {process.returncode}")
    return [child]


def _die_with_parent(parent: int) -> Callable[[], None]:
    """Return a preexec_fn that has Linux kill the child when its parent ends, even if the parent is killed."""

    def request_death_signal() -> None:
        if sys.platform == "linux":
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return request_death_signal
