"""Feeds a target in a process of its own, and watches it for crashes, hangs and memory."""

from __future__ import annotations

import contextlib
import faulthandler
import mmap
import multiprocessing
import os
import random
import resource
import shutil
import signal
import struct
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from tests.fuzz.targets import Target

MOST_MB = 1024
"""Of memory that the process of a target, a node or a worker may have."""
HANG_S, _HANG_WALL_S = 5.0, 20.0
"""Of processor time for one input; and of time, where other processes use the processors, too."""
_POLL_S = 0.1
_ADDRESS_SPACE = 24 << 30
_OPENS_WITHIN_S = 180.0
_NOW = struct.Struct("qdd")
"""Seed of the input, and when it began: monotonic, and in processor time of the process."""
_NO_SEED = -1
_EXIT_MEMORY = 3
_FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An input that a target did not take as it must; target and seed make it again."""

    target: str
    seed: int
    what: str


@dataclass(slots=True, kw_only=True)
class Result:
    """What became of the inputs of a target."""

    target: str
    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    seconds: float = 0.0
    memory_mb: float = 0.0
    """The most that its process had."""


def watch(name: str, make: Callable[[], Target], seeds: Sequence[int], within_s: float) -> Result:
    """Feed a target the inputs of these seeds, for so many seconds at most."""
    result, started, position = Result(target=name), time.monotonic(), 0
    while position < len(seeds) and time.monotonic() - started < within_s:
        left_s = within_s - (time.monotonic() - started)
        position += _feed_process(name, make, seeds[position:], left_s, result)
    result.seconds = time.monotonic() - started
    return result


def _feed_process(name: str, make: Callable[[], Target], seeds: Sequence[int], within_s: float, result: Result) -> int:
    """Feed one process until all is done, or it fails; return how many inputs were used up."""
    shared = mmap.mmap(-1, _NOW.size)
    _NOW.pack_into(shared, 0, _NO_SEED, time.monotonic(), 0.0)
    here, there = _FORK.Pipe(duplex=False)
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    process = _FORK.Process(target=_feed, args=(name, make, seeds, shared, there, folder))
    process.start()
    there.close()
    end = time.monotonic() + within_s
    try:
        while True:
            _take(here, result)
            seed, since, used_s = _NOW.unpack_from(shared)
            if process.exitcode is not None:
                _take(here, result)
                if process.exitcode == 0:
                    return len(seeds)
                if process.exitcode != _EXIT_MEMORY:
                    _fail(result, name, seed, f"crash, exit code {process.exitcode}")
                return _used(seeds, seed)
            if time.monotonic() > end:
                return len(seeds)
            if _hangs(process.pid or 0, seed, since, used_s):
                seconds, memory_mb = time.monotonic() - since, peak_mb(process.pid or 0)
                _fail(result, name, seed, f"hang: no end after {seconds:.0f} s, {memory_mb:.0f} MiB")
                return _used(seeds, seed)
            process.join(_POLL_S)
    finally:
        _end(process.pid or 0)
        process.join(10)
        shutil.rmtree(folder, ignore_errors=True)


def _used(seeds: Sequence[int], seed: int) -> int:
    """Return how many seeds are used up with this one; all of them, if the target could not be opened."""
    return len(seeds) if seed == _NO_SEED else seeds.index(seed) + 1


def _take(pipe: Connection, result: Result) -> None:
    """Take what the process has sent."""
    with contextlib.suppress(EOFError):
        while pipe.poll():
            kind, value = pipe.recv()
            if kind == "failure":
                result.failures.append(value)
            elif kind == "memory":
                result.memory_mb = max(result.memory_mb, value)
            else:
                result.outcomes.update(value)


def _hangs(pid: int, seed: int, since: float, used_s: float) -> bool:
    """Whether the input takes too long; before the first one, the target opens."""
    elapsed = time.monotonic() - since
    if seed == _NO_SEED:
        return elapsed > _OPENS_WITHIN_S
    if elapsed < HANG_S:
        return False
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    computed_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") - used_s
    return elapsed > _HANG_WALL_S or computed_s > HANG_S


def _fail(result: Result, name: str, seed: int, what: str) -> None:
    result.failures.append(Failure(target=name, seed=seed, what=what))


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _feed(
    name: str, make: Callable[[], Target], seeds: Sequence[int], shared: mmap.mmap, pipe: Connection, folder: Path
) -> None:
    """Feed the inputs; the body of the process."""
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    target, outcomes, code = make(), Counter[str](), 0
    with target.open(folder):
        for seed in seeds:
            _NOW.pack_into(shared, 0, seed, time.monotonic(), time.process_time())
            try:
                outcomes[target.feed(random.Random(f"{name}:{seed}"))] += 1
            except Exception as error:  # noqa: BLE001 - this is what is looked for
                outcomes["failed"] += 1
                pipe.send(("failure", Failure(target=name, seed=seed, what=_what(error))))
            memory_mb = peak_mb(os.getpid())
            if memory_mb > MOST_MB:
                what = f"memory: {memory_mb:.0f} MiB"
                pipe.send(("failure", Failure(target=name, seed=seed, what=what)))
                code = _EXIT_MEMORY
                break
            if sum(outcomes.values()) >= 50:
                pipe.send(("outcomes", outcomes))
                outcomes = Counter()
        pipe.send(("outcomes", outcomes))
        pipe.send(("memory", peak_mb(os.getpid())))
    os._exit(code)


def _what(error: Exception) -> str:
    places = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{Path(place.filename).name}:{place.lineno}" for place in reversed(places[-4:]))
    return f"{type(error).__name__}: {str(error)[:100]!r} at {where}"


def peak_mb(pid: int) -> float:
    """Return the largest resident set that a process has had, in MiB."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return 0.0
