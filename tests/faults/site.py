"""A site for fault histories: the service's processes on a disk and a clock of their own, and a PACS."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

import psutil

from tests.faults.clock import JumpingClock
from tests.faults.disk import Disk
from tests.faults.pacs import FaultyPacs
from tests.faults.service import ForkedProcess, forked, keep_serving
from tests.fixtures.ports import free_ports, is_listening
from tests.fixtures.waiting import wait_until

_PROCESS_NAMES = {"service": ("service",), "node": ("node",), "worker": ("worker",), "redis": ("redis", "valkey")}
"""What the names of the processes begin with, as Linux lists them."""
_CONFIGURATION = """
[node]
ae_title = "LUNGNODE"
port = {node_port}
data_dir = "{data_dir}"
quiet_period_s = 0.3
min_free_mb = 1
network_timeout_s = 2
connect_timeout_s = 2
retry_backoff_s = 0.1
retry_backoff_max_s = 0.5
commitment_timeout_s = 1
commitment_wait_s = 0.2

[selection]
completion_limit_s = 1

[worker]
device = "cpu"
outputs = ["seg", "sr"]

[queue]
lease_s = 1.5
requeue_after_s = 0.2
requeue_max_s = 2
max_attempts = 6

[[peers]]
name = "sender"
ae_title = "SENDER"
host = "127.0.0.1"
port = 1
may_send = true

[[peers]]
name = "pacs"
ae_title = "PACS"
host = "127.0.0.1"
port = {pacs_port}
send_results = true
storage_commitment = true
"""
"""As in a hospital, with shorter times."""


@dataclass(kw_only=True)
class Site:
    """The service, used as a context manager. `has_own_disk`: whether its data is on a file system of its own."""

    folder: Path
    has_own_disk: bool
    clock: JumpingClock = field(default_factory=JumpingClock)
    more: str = ""
    """What is added to the configuration."""

    def __enter__(self) -> Self:
        self.node_port, pacs_port = free_ports(2)
        self.folder.mkdir(parents=True)
        self.disk = Disk(folder=self.folder / "var", is_mounted=self.has_own_disk)
        self.disk.make(self.folder / "disk.img")
        self.config.write_text(
            _CONFIGURATION.format(node_port=self.node_port, pacs_port=pacs_port, data_dir=self.disk.folder) + self.more
        )
        # Forked before the threads of the PACS are started.
        self._keeper = forked("keeper", partial(keep_serving, self.config, self.clock, self.log))
        self.pacs = FaultyPacs(self.node_port)
        self.pacs.start(pacs_port)
        wait_until(lambda: is_listening(self.node_port), 60, "the node listens")
        return self

    def __exit__(self, *_: object) -> None:
        self.disk.heal()
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._keeper.pid).children(recursive=True):
                process.kill()
        self._end(self._keeper)
        self.pacs.stop()
        self.disk.remove()

    @property
    def config(self) -> Path:
        return self.folder / "lungspread.toml"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def journal(self) -> Path:
        return self.disk.folder / "journal.db"

    @property
    def inbox(self) -> Path:
        return self.disk.folder / "inbox"

    def service(self) -> psutil.Process:
        """Return the supervisor's process."""
        return _named(lambda: psutil.Process(self._keeper.pid), "service")

    def child(self, name: str) -> psutil.Process:
        """Return "node", "worker" or "redis"; it is waited for if it is being started again."""
        return _named(self.service, name)

    def kill(self, *names: str) -> None:
        """Send SIGKILL to children, or to the supervisor ("service")."""
        for name in names:
            self._signal(name, signal.SIGKILL)

    def stop(self, name: str) -> psutil.Process:
        """Send SIGSTOP to a child, and return it: SIGCONT is for the same process."""
        return self._signal(name, signal.SIGSTOP)

    def memory_mb(self) -> float:
        """Return the largest resident set of node and worker now, in MiB."""
        sizes = [0]
        with contextlib.suppress(psutil.NoSuchProcess):
            sizes += [child.memory_info().rss for child in self.service().children()]
        return max(sizes) / 2**20

    @contextlib.contextmanager
    def switched_off(self) -> Iterator[None]:
        """Kill all processes of the service for a `with` block, and start it again after it, as an operator does."""
        keeper = psutil.Process(self._keeper.pid)
        keeper.send_signal(signal.SIGSTOP)  # it would start the service again
        processes = keeper.children(recursive=True)
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until(lambda: all(map(_has_ended, processes)), 10, "all processes are killed")
        try:
            yield
        finally:
            keeper.send_signal(signal.SIGCONT)

    def _signal(self, name: str, number: int) -> psutil.Process:
        process = self.service() if name == "service" else self.child(name)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
        return process

    def _end(self, process: ForkedProcess) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait(10)


def resume(process: psutil.Process) -> None:
    """Send SIGCONT, unless the process was killed meanwhile."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGCONT)


def _named(parent: Callable[[], psutil.Process], name: str) -> psutil.Process:
    """Return the child of this name, waiting up to 20 s for it."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in parent().children():
                if process.name().startswith(_PROCESS_NAMES[name]) and not _has_ended(process):
                    return process
        time.sleep(0.02)
    raise AssertionError(f"no process {name}")


def _has_ended(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
