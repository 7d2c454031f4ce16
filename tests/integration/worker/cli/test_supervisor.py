from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dicom_node.queue.redis_server import is_ready, redis_url
from dicom_node.settings import QueueSettings
from tests.fixtures.waiting import wait_until

SUPERVISOR = """
import logging, sys
from pathlib import Path
from dicom_node.settings import QueueSettings
from worker.cli import supervisor
logging.basicConfig(level=logging.INFO, format="%(message)s")
folder = Path(sys.argv[1])
write = "import os, sys, time, pathlib; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); "
sleeping = [sys.executable, "-c", write + "time.sleep(600)", str(folder / "sleeping")]
ignore_sigterm = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
unstoppable = [sys.executable, "-c", ignore_sigterm + write + "time.sleep(600)", str(folder / "unstoppable")]
exit_at_once = "open(sys.argv[2], 'a').write('x'); sys.exit(7)"
failing = [sys.executable, "-c", write + exit_at_once, str(folder / "failing"), str(folder / "starts")]
damaged = [sys.executable, "-c", "import sys; sys.exit(3)"]
commands = {"sleeping": sleeping, "unstoppable": unstoppable, "failing": failing, "damaged": damaged}
children = [supervisor.Child(name=name, command=commands[name]) for name in sys.argv[2:]]
supervisor._GRACE_S = 1.0
with supervisor.sole_use(folder):
    supervisor.supervise(supervisor._redis(QueueSettings(), folder), children)
print("ended", flush=True)
"""


class Service:
    """A supervisor process and its children."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[psutil.Process] = []
        self.log = folder / "log"
        self.supervisor: subprocess.Popen[bytes] | None = None

    def start(self, *children: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            command = [sys.executable, "-c", SUPERVISOR, str(self.folder), *children]
            self.supervisor = subprocess.Popen(command, stdout=log, stderr=log)
        return self.supervisor

    def pid(self, name: str, other_than: int = 0) -> int:
        """Wait until the child has written a process id other than `other_than`, and return it."""
        file = self.folder / name
        wait_until(lambda: file.exists() and file.read_text() not in ("", str(other_than)))
        self.processes.append(psutil.Process(int(file.read_text())))
        return int(file.read_text())

    def redis(self) -> psutil.Process:
        assert self.supervisor is not None
        wait_until(lambda: is_ready(redis_url(QueueSettings(), self.folder)))
        for process in psutil.Process(self.supervisor.pid).children():
            if "valkey-server" in process.name():
                self.processes.append(process)
                return process
        raise AssertionError("no Redis server")

    def end(self) -> None:
        if self.supervisor is not None and self.supervisor.poll() is None:
            self.supervisor.kill()
            self.supervisor.wait()
        for process in self.processes:
            if process.is_running():
                process.kill()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path)
    yield service
    service.end()


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_killed_child_is_restarted_and_the_others_keep_running(service: Service) -> None:
    service.start("sleeping", "unstoppable")
    first, other = service.pid("sleeping"), service.pid("unstoppable")

    os.kill(first, signal.SIGKILL)

    assert service.pid("sleeping", other_than=first) != first
    assert service.pid("unstoppable") == other
    assert "sleeping ended with exit code -9, next start in 0.5 s" in service.log.read_text()


def test_the_embedded_redis_is_started_first_and_restarted_when_killed(service: Service) -> None:
    service.start("sleeping")
    service.pid("sleeping")
    first = service.redis()

    first.kill()
    wait_until(lambda: has_ended(first))

    assert service.redis().pid != first.pid


def test_a_child_that_exits_at_once_is_restarted_after_growing_pauses(service: Service) -> None:
    service.start("failing")
    wait_until(lambda: "next start in 2.0 s" in service.log.read_text())

    pauses = [
        line.split()[-2] for line in service.log.read_text().splitlines() if line.startswith("failing ended with")
    ]
    assert pauses == ["0.5", "1.0", "2.0"]
    assert (service.folder / "starts").read_text() == "xxx"


def test_a_child_that_ends_because_the_journal_is_damaged_ends_the_service(service: Service) -> None:
    supervisor = service.start("sleeping", "damaged")
    sleeping = psutil.Process(service.pid("sleeping"))

    assert supervisor.wait(20) != 0
    assert has_ended(sleeping)
    assert "JournalDamaged: the journal is damaged (damaged has ended). Stop LungSpread" in service.log.read_text()


def test_sigterm_ends_all_children_and_then_the_supervisor(service: Service) -> None:
    supervisor = service.start("sleeping", "unstoppable")
    children = [psutil.Process(service.pid("sleeping")), psutil.Process(service.pid("unstoppable")), service.redis()]

    supervisor.terminate()

    assert supervisor.wait(20) == 0
    assert all(has_ended(child) for child in children)
    assert service.log.read_text().endswith("ended\n")


def test_children_end_when_their_supervisor_is_killed(service: Service) -> None:
    supervisor = service.start("sleeping", "unstoppable")
    children = [psutil.Process(service.pid("sleeping")), psutil.Process(service.pid("unstoppable")), service.redis()]

    supervisor.kill()
    supervisor.wait()

    wait_until(lambda: all(has_ended(child) for child in children))


def test_a_second_service_on_the_same_data_directory_is_rejected(service: Service, tmp_path: Path) -> None:
    service.start("sleeping")
    service.redis()

    second = subprocess.run(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path)], capture_output=True, text=True, check=False, timeout=20
    )

    assert second.returncode == 1
    assert "another `lungspread serve` runs on" in second.stderr
    assert service.redis().is_running()
