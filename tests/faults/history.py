"""Runs one fault history on a site: sends, injects the faults in time, ends them, and judges what has become of it."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil

from dicom_node.errors import NodeError
from tests.faults.damage import DamagedFile, Restore, damage_database, damage_file, damage_row
from tests.faults.oracle import Verdict, is_settled, jobs_of, judge
from tests.faults.plan import CLOCK, Event, Kind, Plan
from tests.faults.sender import Sender, finish
from tests.faults.site import Site, resume
from worker.cli.checks import run_checks
from worker.cli.journal_jobs import list_jobs
from worker.settings import load_settings

SENT_WITHIN_S = 40.0
"""After the end of the faults, until every instance was acknowledged."""
SETTLED_WITHIN_S = 45.0
"""After that, until every job has ended."""
_OTHERS_WITHIN_S = 20.0
"""While a row is damaged, until another series is analysed."""
_PAUSE_S = 0.05
_KILLED = {
    Kind.KILL_NODE: ("node",),
    Kind.KILL_WORKER: ("worker",),
    Kind.KILL_REDIS: ("redis",),
    Kind.KILL_ALL: ("node", "worker", "redis"),
    Kind.KILL_SERVICE: ("service",),
}
_STOPPED = {Kind.STOP_NODE: "node", Kind.STOP_WORKER: "worker", Kind.STOP_REDIS: "redis"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a history."""

    plan: Plan
    acknowledged: int
    verdict: Verdict
    seconds: float
    memory_mb: float
    """The most that node or worker had when it ended."""


@dataclass(slots=True, kw_only=True)
class History:
    """One history on one site."""

    plan: Plan
    site: Site
    verdict: Verdict = field(default_factory=Verdict)
    _damaged: list[DamagedFile] = field(default_factory=list)
    _stopped: list[psutil.Process] = field(default_factory=list)
    _senders: list[Sender] = field(default_factory=list)

    def run(self) -> Outcome:
        """Run it. Whatever fails in the harness itself counts as stuck, with the reason."""
        started = time.monotonic()
        self._senders = [Sender(series, self.site.node_port) for series in self.plan.series]
        try:
            self._inject()
        except Exception as error:  # noqa: BLE001 - a history that cannot be run is no success
            self._fail(f"harness: {type(error).__name__}: {error}")
        self._end_faults()
        finish(self._senders, SENT_WITHIN_S)
        for sender in self._senders:
            if not sender.is_done:
                self._fail(f"series {sender.plan.series_uid}: only {len(sender.acknowledged)} instances acknowledged")
        self._wait(lambda: all(is_settled(self.site.journal, sender) for sender in self._senders), SETTLED_WITHIN_S)
        damaged = frozenset(file.series_uid for file in self._damaged if file.is_still_there)
        for sender in self._senders:
            judge(self.site, self.plan, sender, damaged, self.verdict)
        return Outcome(
            plan=self.plan,
            acknowledged=sum(len(sender.acknowledged) for sender in self._senders),
            verdict=self.verdict,
            seconds=time.monotonic() - started,
            memory_mb=self.site.memory_mb(),
        )

    def _inject(self) -> None:
        if self.plan.kind is Kind.DAMAGED_ROW:
            self._with_damaged_row()
        elif self.plan.kind is Kind.DAMAGED_DATABASE:
            self._with_damaged_database()
        else:
            for sender in self._senders:
                sender.start()
            self._follow(self.plan.events)

    def _follow(self, events: tuple[Event, ...]) -> None:
        """Begin and end each fault in its time."""
        steps = [(event.at_s, 0, event) for event in events]
        steps += [(event.at_s + event.for_s, 1, event) for event in events]
        started = time.monotonic()
        for at_s, is_end, event in sorted(steps, key=lambda step: step[:2]):
            time.sleep(max(0.0, started + at_s - time.monotonic()))
            (self._end if is_end else self._begin)(event)

    def _begin(self, event: Event) -> None:
        kind, site = event.kind, self.site
        if kind in _KILLED:
            site.kill(*_KILLED[kind])
        elif kind in _STOPPED:
            self._stopped.append(site.stop(_STOPPED[kind]))
        elif kind in CLOCK:
            site.clock.jump(event.jump_s)
        elif kind is Kind.DISK_FULL:
            site.disk.fill()
        elif kind is Kind.DISK_READ_ONLY:
            site.disk.set_read_only(event.folder)
        elif kind is Kind.DISK_FROZEN:
            site.disk.freeze(event.for_s)
        elif kind is Kind.DAMAGED_FILE:
            self._damage_file()
        else:
            site.pacs.misbehave(kind)

    def _end(self, event: Event) -> None:
        kind = event.kind
        if kind in (Kind.DISK_FULL, Kind.DISK_READ_ONLY, Kind.DISK_FROZEN):
            self.site.disk.heal()
        elif kind in _STOPPED:
            self._resume()
        elif kind.startswith(("PACS", "commitment")):
            self.site.pacs.behave()

    def _end_faults(self) -> None:
        self.site.disk.heal()
        self.site.pacs.behave()
        self._resume()

    def _resume(self) -> None:
        while self._stopped:
            resume(self._stopped.pop())

    def _damage_file(self) -> None:
        uids = [series.series_uid for series in self.plan.series]
        damaged = damage_file(self.site.inbox, uids, random.Random(self.plan.seed))
        # Whether a job that has begun sees the damage is a matter of chance.
        if damaged is not None and not jobs_of(self.site.journal, damaged.series_uid):
            self._damaged.append(damaged)

    def _with_damaged_row(self) -> None:
        """While the row of one job is damaged, another series is analysed all the same, and both are listed."""
        (event,) = self.plan.events
        first, second = self._senders
        if self.plan.seed % 2:  # the job waits in the queue, or is done
            self._stopped.append(self.site.stop("worker"))
        first.start()
        time.sleep(event.at_s)
        uid = first.plan.series_uid
        self._wait(lambda: jobs_of(self.site.journal, uid), _OTHERS_WITHIN_S)
        restore = damage_row(self.site.journal, uid)
        self._resume()
        with self._restoring(restore):
            second.start()
            finish([second], _OTHERS_WITHIN_S)
            if not self._wait(lambda: is_settled(self.site.journal, second), _OTHERS_WITHIN_S):
                self._fail("one damaged row: another series was not analysed")
            self._answers("jobs", lambda: list_jobs(load_settings(self.site.config)))

    def _with_damaged_database(self) -> None:
        """While the database is damaged, doctor answers; then the operator brings the backup back."""
        (event,) = self.plan.events
        first, second = self._senders
        first.start()
        time.sleep(event.at_s)
        restore = damage_database(self.site, random.Random(self.plan.seed))
        with self._restoring(restore):
            second.start()
            self._answers("doctor", self._doctor)
            time.sleep(event.for_s)

    @contextlib.contextmanager
    def _restoring(self, restore: Restore) -> Iterator[None]:
        try:
            yield
        finally:
            restore()

    def _doctor(self) -> None:
        for check in run_checks(load_settings(self.site.config)):
            if check.subject == "journal":  # the rest loads the network
                return

    def _answers(self, command: str, ask: Callable[[], object]) -> None:
        try:
            ask()
        except NodeError:  # one line, and exit code 1
            return
        except Exception as error:  # noqa: BLE001 - this is what must not happen
            self._fail(f"{command} ends in a traceback: {type(error).__name__}")

    def _fail(self, note: str) -> None:
        self.verdict.stuck += 1
        self.verdict.notes.append(note)

    def _wait(self, condition: Callable[[], object], within_s: float) -> bool:
        end = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > end:
                return False
            time.sleep(_PAUSE_S)
        return True
