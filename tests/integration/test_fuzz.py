"""A slice of the malformed input of `make fuzz`, and that its watch notices what it looks for."""

from __future__ import annotations

import mmap
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.fuzz.watch import watch

ROOT = Path(__file__).parent.parent.parent


def test_a_slice_of_malformed_input_is_refused_by_declared_errors_alone() -> None:
    targets = ["headers", "series", "frames", "configuration"]
    command = [sys.executable, "-m", "tests.fuzz", "--seed", "10000", "--inputs", "200", "--only", *targets]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    inputs = {line.split()[0]: int(line.split()[1]) for line in done.stdout.splitlines()[1:]}
    assert inputs.keys() == set(targets)
    assert 195 < sum(inputs.values()) < 205


@dataclass(frozen=True, slots=True)
class Wrong:
    """A target that does one thing it must not do, at the second of three inputs."""

    act: Callable[[], object]

    @contextmanager
    def open(self, folder: Path) -> Iterator[None]:  # noqa: ARG002 - it needs none
        yield

    def feed(self, rng: random.Random) -> str:
        if rng.random() == random.Random("wrong:2").random():
            self.act()
        return "taken"


def wait_for_ever() -> None:
    while True:
        time.sleep(1)


def take_memory() -> None:
    """Take 300 MB from the system: the allocator would use again what this process has freed."""
    HELD.append(mmap.mmap(-1, 300 << 20))
    while HELD[-1].tell() < len(HELD[-1]):
        HELD[-1].write(b"1" * (1 << 20))


HELD: list[mmap.mmap] = []
ACTS = {
    "crash, exit code -11": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "crash, exit code 7": lambda: os._exit(7),
    "ZeroDivisionError": lambda: 1 // 0,
    "memory: ": take_memory,
    "hang: no end after": wait_for_ever,
}


@pytest.mark.parametrize("found", ACTS)
def test_the_watch_finds_what_a_target_must_not_do(found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = psutil.Process().memory_info()  # a forked process has all of it but what is mapped from files, at first
    of_fork = memory.rss - memory.shared if ACTS[found] is take_memory else memory.rss
    monkeypatch.setattr("tests.fuzz.watch.MOST_MB", of_fork / 2**20 + 150)
    if ACTS[found] is wait_for_ever:
        monkeypatch.setattr("tests.fuzz.watch._HANG_WALL_S", 0.5)
        monkeypatch.setattr("tests.fuzz.watch.HANG_S", 0.1)

    result = watch("wrong", lambda: Wrong(ACTS[found]), range(1, 4), within_s=60.0)

    (failure,) = result.failures
    assert (failure.target, failure.seed) == ("wrong", 2)
    assert failure.what.startswith(found)
