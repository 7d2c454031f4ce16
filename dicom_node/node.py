"""The running node: receive -> select -> fetch priors -> enqueue, and deliver -> commit when a worker is done.

The threads of the SCP receive. Each loop below has one task, and each destination has its own delivery loop. They
share state in the journal alone, so each of them, and the whole process, may be killed at any moment.
"""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType

from dicom_node.delivery.delivery import plan_deliveries
from dicom_node.journal.journal import Journal
from dicom_node.listeners import Listeners, OpenListeners
from dicom_node.loop import Loop, where
from dicom_node.network.status import configure_libraries
from dicom_node.parts import NodeConfiguration, make_parts
from dicom_node.queue.assembler import assemble

log = logging.getLogger(__name__)

_CLEAN_UP_INTERVAL_S = 3600.0
_ABORT_INTERVAL_S = 0.1
_SIGNAL_CHECK_S = 0.5


class Node:
    """A running node, used as a context manager; `port` is the port that it listens on."""

    def __init__(self, configuration: NodeConfiguration, journal: Journal) -> None:
        self._configuration = configuration
        self._node = configuration.node
        self._journal = journal
        self._parts = make_parts(configuration, journal)
        self._assembling = Loop("assemble", self._assemble)
        self._counting = Loop("ask for counts", self._count)
        self._searching = Loop("search for priors", self._search)
        self._enqueue = Loop("enqueue", self._parts.reconciler.step)
        self._deliver = [Loop(f"deliver to {each.peer.name}", each.step) for each in self._parts.delivery_workers]
        self._loops = self._make_loops()
        self._listeners: OpenListeners | None = None
        self._started_at = 0.0

    def __enter__(self) -> Node:
        self._parts.time.start()
        self._parts.spool.remove_orphans()
        self._listeners = self._listen()
        self._parts.audit.start()
        self._record_missing()
        self._started_at = time.monotonic()
        for loop in self._loops:
            loop.start()
        log.info("%s listens on %s:%d", self._node.ae_title, self._node.host, self.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the SCP and abort what the loops are doing; whatever was not acknowledged is sent again."""
        for loop in self._loops:
            loop.stop()
        if self._listeners is not None:
            self._listeners.close()
        until = time.monotonic() + self._node.connect_timeout_s
        while any(loop.is_running for loop in self._loops) and time.monotonic() < until:
            self._parts.searcher.stop()
            if self._parts.counts is not None:
                self._parts.counts.abort()
            for delivery_worker in self._parts.delivery_workers:
                delivery_worker.abort()
            for reporter in self._parts.commitment_reporters:
                reporter.abort()
            time.sleep(_ABORT_INTERVAL_S)
        self._parts.receiver.close()
        self._parts.audit.stop()

    @property
    def port(self) -> int:
        """The port that the SCP listens on."""
        assert self._listeners is not None  # noqa: S101  (the node is running)
        return self._listeners.port

    def _listen(self) -> OpenListeners:
        return Listeners(
            node=self._node,
            dicomweb=self._configuration.dicomweb,
            peers=self._configuration.peers,
            journal=self._journal,
            receiver=self._parts.receiver,
            spool=self._parts.spool,
            audit=self._parts.audit,
        ).open()

    def _record_missing(self) -> None:
        """Record what was received before the process was killed; while it listens, because it may take a while."""
        if missing := self._parts.receiver.record_missing():
            log.warning("%d instances were received before the node ended, and are recorded now", missing)

    def _make_loops(self) -> list[Loop]:
        return [
            Loop("keep time", lambda _now: self._parts.time.step(), every_s=1.0),
            self._assembling,
            *([self._counting] if self._parts.counts else []),
            *([self._searching] if self._parts.searcher.sources else []),
            self._enqueue,
            Loop("plan deliveries", self._plan_deliveries),
            *self._deliver,
            *(Loop(f"report commitments to {each.peer.name}", each.step) for each in self._parts.commitment_reporters),
            Loop("clean up", self._clean_up, every_s=_CLEAN_UP_INTERVAL_S),
            *self._parts.audit.loops(),
        ]

    def _assemble(self, now: float) -> None:
        # While the node was down, senders could not continue: an interrupted series gets one full quiet period.
        if time.monotonic() - self._started_at >= self._node.quiet_period_s:
            config_hash = self._configuration.config_hash
            self._journal.jobs.reopen_outdated(config_hash)
            choices = self._parts.selector.choices(now)
            if assemble(
                self._journal, config_hash, choices, now, self._parts.timeline.priors_for, self._parts.priorities.of
            ):
                self._enqueue.wake()
            if choices:
                self._searching.wake()
            if self._parts.counts is not None and self._parts.counts.has_questions:
                self._counting.wake()
            self._parts.timeline.reopen_affected()

    def _count(self, now: float) -> None:
        if self._parts.counts is not None and self._parts.counts.step(now):
            self._assembling.wake()

    def _search(self, now: float) -> None:
        if self._parts.searcher.step(now):
            self._assembling.wake()

    def _plan_deliveries(self, now: float) -> None:
        with_backfill = self._node.deliver_backfill
        if plan_deliveries(self._journal.deliveries, self._parts.destinations, now, with_backfill=with_backfill):
            for loop in self._deliver:
                loop.wake()

    def _clean_up(self, now: float) -> None:
        if self._parts.time.is_settled:
            self._parts.clean_up.step(now)
        reporters = self._parts.commitment_reporters
        if closed := self._journal.commitments.close_others([each.peer.name for each in reporters]):
            log.error("%d storage commitment reports given up: their peers are no longer configured", closed)


def run_node(configuration: NodeConfiguration, stop: threading.Event) -> None:
    """Run a node until `stop` is set."""
    configure_libraries()
    threading.excepthook = lambda ended: log.error("thread ended: %s", where(ended.exc_value))
    with Journal(configuration.journal.url_in(configuration.node.data_dir)) as journal, Node(configuration, journal):
        # With a limit: a signal that arrives just before the wait would interrupt nothing, and be handled never.
        while not stop.wait(_SIGNAL_CHECK_S):
            pass
