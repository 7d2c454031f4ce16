"""Runs many histories: several sites side by side, each for a batch of histories, and a new one after a failure."""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from dicom_node.network.status import configure_libraries
from tests.faults.disk import leave_mount_namespace
from tests.faults.history import History, Outcome
from tests.faults.oracle import Verdict
from tests.faults.plan import NEED_MOUNT, kind_of, plan_of
from tests.faults.service import import_before_forking
from tests.faults.site import Site

BATCH = 20
"""Histories of one site."""
_LIMIT_S = 240.0
"""Of one history; a site that takes longer is killed."""
_POLL_S = 1.0
_LEAVES_WITHIN_S = 20.0

_FORK = multiprocessing.get_context("fork")


@dataclass(slots=True, kw_only=True)
class _Running:
    """A process that runs a batch on a site."""

    process: BaseProcess
    outcomes: Connection
    folder: Path
    seeds: deque[int]
    """Not yet done."""
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """Histories by their seeds. out: for the logs of failed ones. has_mounts: whether sites have disks of their own."""

    seeds: Sequence[int]
    sites: int
    out: Path
    has_mounts: bool

    def runnable(self) -> list[int]:
        """Return the seeds whose faults are possible here."""
        return [seed for seed in self.seeds if self.has_mounts or kind_of(seed) not in NEED_MOUNT]

    def run(self, report: Callable[[Outcome], None]) -> None:
        """Run all histories, and report each outcome as it comes."""
        import_before_forking()
        warnings.simplefilter("ignore")  # of sockets that pynetdicom leaves to the garbage collector
        waiting = deque(self._batches())
        running: list[_Running] = []
        try:
            while waiting or running:
                while waiting and len(running) < self.sites:
                    running.append(self._start(waiting.popleft()))
                for batch in list(running):
                    if not self._is_over(batch, report):
                        continue
                    running.remove(batch)
                    self._clean(batch)
                    if batch.seeds:
                        waiting.append(batch.seeds)
                wait([batch.outcomes for batch in running], timeout=_POLL_S)
        finally:
            for batch in running:
                self._clean(batch)

    def _batches(self) -> Iterator[deque[int]]:
        """Deal the seeds, so that sites end at about the same time."""
        seeds = self.runnable()
        count = max(min(self.sites, len(seeds)), -(-len(seeds) // BATCH))
        for first in range(count):
            yield deque(seeds[first::count])

    def _start(self, seeds: deque[int]) -> _Running:
        folder = Path(tempfile.mkdtemp(prefix="faults-", dir="/dev/shm" if self.has_mounts else None))
        here, there = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=_run_batch, args=(tuple(seeds), folder, self.has_mounts, there))
        process.start()
        there.close()
        return _Running(process=process, outcomes=here, folder=folder, seeds=seeds)

    def _is_over(self, batch: _Running, report: Callable[[Outcome], None]) -> bool:
        """Take what outcomes there are; whether the batch has ended, or failed, so that its site is given up."""
        try:
            while batch.outcomes.poll():
                outcome: Outcome = batch.outcomes.recv()
                batch.seeds.remove(outcome.plan.seed)
                batch.since = time.monotonic()
                report(outcome)
                if not outcome.verdict.is_good:
                    self._keep_log(batch, outcome.plan.seed)
        except EOFError:
            batch.process.join(30)
        if time.monotonic() - batch.since > _LIMIT_S or (batch.process.exitcode is not None and batch.seeds):
            if batch.process.exitcode != 0:
                self._give_up(batch, report)
            return True
        return not batch.seeds

    def _give_up(self, batch: _Running, report: Callable[[Outcome], None]) -> None:
        plan = plan_of(batch.seeds.popleft(), can_mount=self.has_mounts)
        why = f"no outcome in {_LIMIT_S:g} s, exit code of the site {batch.process.exitcode}"
        verdict = Verdict(stuck=len(plan.series), notes=[why])
        self._keep_log(batch, plan.seed)
        report(Outcome(plan=plan, acknowledged=0, verdict=verdict, seconds=_LIMIT_S, memory_mb=0.0))

    def _keep_log(self, batch: _Running, seed: int) -> None:
        self.out.mkdir(parents=True, exist_ok=True)
        if (log := batch.folder / "site" / "log").exists():
            shutil.copyfile(log, self.out / f"{seed}.log")

    def _clean(self, batch: _Running) -> None:
        batch.process.join(_LEAVES_WITHIN_S)
        if batch.process.is_alive():
            batch.process.kill()
            batch.process.join()
        shutil.rmtree(batch.folder, ignore_errors=True)


def _run_batch(seeds: Sequence[int], folder: Path, has_mounts: bool, outcomes: Connection) -> None:
    """Run histories one after the other on one site, until one fails: what it left may disturb the others."""
    configure_libraries()
    threading.excepthook = lambda _: None  # of the test's own peers, whose associations are cut off
    if has_mounts:
        leave_mount_namespace()
    with Site(folder=folder / "site", has_own_disk=has_mounts) as site:
        for seed in seeds:
            outcome = History(plan=plan_of(seed, can_mount=has_mounts), site=site).run()
            outcomes.send(outcome)
            if not outcome.verdict.is_good:
                return
