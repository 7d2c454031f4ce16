from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from dicom_node.queue.redis_server import is_well, redis_url
from dicom_node.settings import QueueSettings

SUPERVISOR = """
import logging, sys
from pathlib import Path
from dicom_node.settings import QueueSettings
from worker.cli import serve
logging.basicConfig(level=logging.INFO, format="%(message)s")
folder = Path(sys.argv[1])
write = "import os, sys, time, pathlib; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); "
polite = [sys.executable, "-c", write + "time.sleep(600)", str(folder / "polite")]
deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
stubborn = [sys.executable, "-c", deaf + write + "time.sleep(600)", str(folder / "stubborn")]
count = "open(sys.argv[2], 'a').write('x'); sys.exit(7)"
short = [sys.executable, "-c", write + count, str(folder / "short"), str(folder / "starts")]
commands = {"polite": polite, "stubborn": stubborn, "short": short}
children = [serve.Child(name=name, command=commands[name]) for name in sys.argv[2:]]
serve._GRACE_S = 1.0
with serve.sole_use(folder):
    serve.supervise(serve._redis(QueueSettings(), folder), children)
print("ended", flush=True)
"""


class Service:
    """A supervisor process, and what is known of its children."""

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

    def pid(self, name: str, but: int = 0) -> int:
        """Wait for the child to have written its process id, another one than `but`."""
        file = self.folder / name
        until(lambda: file.exists() and file.read_text() not in ("", str(but)))
        self.processes.append(psutil.Process(int(file.read_text())))
        return int(file.read_text())

    def redis(self) -> psutil.Process:
        assert self.supervisor is not None
        until(lambda: is_well(redis_url(QueueSettings(), self.folder)))
        for process in psutil.Process(self.supervisor.pid).children():
            if "redis-server" in process.name():
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


def until(answer: Callable[[], bool], timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not answer():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_child_that_is_killed_is_started_again_and_the_others_stay(service: Service) -> None:
    service.start("polite", "stubborn")
    first, other = service.pid("polite"), service.pid("stubborn")

    os.kill(first, signal.SIGKILL)

    assert service.pid("polite", but=first) != first
    assert service.pid("stubborn") == other
    assert "polite ended with exit code -9, next start in 0.5 s" in service.log.read_text()


def test_the_embedded_redis_is_started_before_the_others_and_again_when_it_is_killed(service: Service) -> None:
    service.start("polite")
    service.pid("polite")
    first = service.redis()

    first.kill()
    until(lambda: is_gone(first))

    assert service.redis().pid != first.pid


def test_a_child_that_ends_at_once_is_started_after_growing_pauses(service: Service) -> None:
    service.start("short")
    until(lambda: "next start in 2.0 s" in service.log.read_text())

    pauses = [line.split()[-2] for line in service.log.read_text().splitlines() if line.startswith("short ended with")]
    assert pauses == ["0.5", "1.0", "2.0"]
    assert (service.folder / "starts").read_text() == "xxx"


def test_a_told_supervisor_ends_its_children_even_the_stubborn_and_then_itself(service: Service) -> None:
    supervisor = service.start("polite", "stubborn")
    children = [psutil.Process(service.pid("polite")), psutil.Process(service.pid("stubborn")), service.redis()]

    supervisor.terminate()

    assert supervisor.wait(20) == 0
    assert all(is_gone(child) for child in children)
    assert service.log.read_text().endswith("ended\n")


def test_a_killed_supervisor_takes_its_children_with_it(service: Service) -> None:
    supervisor = service.start("polite", "stubborn")
    children = [psutil.Process(service.pid("polite")), psutil.Process(service.pid("stubborn")), service.redis()]

    supervisor.kill()
    supervisor.wait()

    until(lambda: all(is_gone(child) for child in children))


def test_a_second_service_on_the_same_data_directory_is_refused(service: Service, tmp_path: Path) -> None:
    service.start("polite")
    service.redis()

    second = subprocess.run(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path)], capture_output=True, text=True, check=False, timeout=20
    )

    assert second.returncode == 1
    assert "another `lungspread serve` runs on" in second.stderr
    assert service.redis().is_running()
