"""The running node: receive -> select -> fetch priors -> enqueue, and deliver -> commit when a worker is done.

The threads of the SCP receive. Each loop below has one task, and each destination has its own delivery loop. They
share state in the journal alone, so each of them, and the whole process, may be killed at any moment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from types import TracebackType

from dicom_node.audit.clients import AuditedSender, audited_sources
from dicom_node.audit.settings import AuditSettings
from dicom_node.audit.trail import AuditTrail
from dicom_node.delivery.commitment_reports import make_reporters
from dicom_node.delivery.delivery import DeliveryWorker, plan_deliveries
from dicom_node.jobs import enqueue, make_celery
from dicom_node.journal.journal import Journal
from dicom_node.listeners import Listeners, OpenListeners
from dicom_node.loop import Loop, where
from dicom_node.network.scu import PacsClient
from dicom_node.network.sender import make_sender
from dicom_node.network.status import configure_libraries
from dicom_node.priors.search import PriorSearcher
from dicom_node.priors.source import Source
from dicom_node.priors.timeline import PatientTimeline
from dicom_node.queue.assembler import assemble
from dicom_node.queue.reconciler import Reconciler, remove_committed
from dicom_node.queue.redis_server import redis_url
from dicom_node.selection.pacs_counts import PacsCounts
from dicom_node.selection.rules import SelectionSettings
from dicom_node.selection.selector import StudySelector
from dicom_node.settings import DicomwebSettings, JournalSettings, NodeSettings, Peer, QueueSettings
from dicom_node.storage.receiver import InstanceReceiver
from dicom_node.storage.spool import Spool
from dicom_node.time_keeper import make_time_keeper

log = logging.getLogger(__name__)

_CLEAN_UP_INTERVAL_S = 3600.0
_ABORT_INTERVAL_S = 0.1
_SIGNAL_CHECK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfiguration:
    """The configuration of a node. `config_hash` is part of every job's key; the node does not interpret it."""

    node: NodeSettings
    peers: Sequence[Peer]
    queue: QueueSettings
    journal: JournalSettings
    selection: SelectionSettings
    config_hash: str
    dicomweb: DicomwebSettings = field(default_factory=DicomwebSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)


class Node:
    """A running node, used as a context manager; `port` is the port that it listens on."""

    def __init__(self, configuration: NodeConfiguration, journal: Journal) -> None:
        self._configuration = configuration
        self._node = configuration.node
        self._spool = Spool(self._node.data_dir, self._node.min_free_mb)
        self._journal = journal
        self._audit = AuditTrail(configuration.audit, self._node)
        refuses = self._node.changed_instances == "refuse"
        self._receiver = InstanceReceiver(self._journal.series, self._spool, refuses_changes=refuses)
        self._timeline = self._make_timeline()
        self._counts = self._make_counts()
        self._selector = self._make_selector()
        self._searcher = self._make_searcher()
        self._destinations = [peer for peer in configuration.peers if peer.send_results]
        self._delivery_workers = [self._make_delivery_worker(peer) for peer in self._destinations]
        self._commitment_reporters = make_reporters(configuration.peers, self._node, journal, self._spool)
        self._assembling = Loop("assemble", self._assemble)
        self._counting = Loop("ask for counts", self._count)
        self._searching = Loop("search for priors", self._search)
        self._enqueue = Loop("enqueue", self._make_reconciler().step)
        self._deliver = [Loop(f"deliver to {each.peer.name}", each.step) for each in self._delivery_workers]
        self._loops = self._make_loops()
        self._listeners: OpenListeners | None = None
        self._time = make_time_keeper(journal, configuration.node, configuration.queue)
        self._started_at = 0.0

    def __enter__(self) -> Node:
        self._time.start()
        self._spool.remove_orphans()
        self._listeners = self._listen()
        self._audit.start()
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
            self._searcher.stop()
            if self._counts is not None:
                self._counts.abort()
            for delivery_worker in self._delivery_workers:
                delivery_worker.abort()
            for reporter in self._commitment_reporters:
                reporter.abort()
            time.sleep(_ABORT_INTERVAL_S)
        self._receiver.close()
        self._audit.stop()

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
            receiver=self._receiver,
            spool=self._spool,
            audit=self._audit,
        ).open()

    def _record_missing(self) -> None:
        """Record what was received before the process was killed; while it listens, because it may take a while."""
        if missing := self._receiver.record_missing():
            log.warning("%d instances were received before the node ended, and are recorded now", missing)

    def _make_timeline(self) -> PatientTimeline:
        queries_priors = any(peer.query_priors for peer in self._configuration.peers)
        return PatientTimeline(self._journal, self._spool, self._node, queries_priors=queries_priors)

    def _make_searcher(self) -> PriorSearcher:
        return PriorSearcher(
            node=self._node,
            journal=self._journal,
            spool=self._spool,
            timeline=self._timeline,
            sources=self._make_sources(),
            waiting=lambda now: [choice.series for choice in self._selector.choices(now) if choice.series is not None],
        )

    def _make_sources(self) -> list[Source]:
        """Return a source for each peer that is queried; each loop needs its own, since one association is open."""
        queried = [peer for peer in self._configuration.peers if peer.query_priors]
        return audited_sources(queried, self._node, self._receiver, self._audit)

    def _make_counts(self) -> PacsCounts | None:
        sources, limit_s = self._make_sources(), self._configuration.selection.completion_limit_s
        return PacsCounts(sources=sources, limit_s=limit_s) if sources and limit_s > 0 else None

    def _make_selector(self) -> StudySelector:
        return StudySelector(
            journal=self._journal,
            spool=self._spool,
            settings=self._configuration.selection,
            quiet_period_s=self._node.quiet_period_s,
            counts=self._counts,
        )

    def _make_delivery_worker(self, peer: Peer) -> DeliveryWorker:
        return DeliveryWorker(
            peer=peer,
            node=self._node,
            journal=self._journal,
            spool=self._spool,
            sender=AuditedSender(make_sender(peer, self._node), peer, self._audit),
            client=PacsClient(peer, self._node),
        )

    def _make_reconciler(self) -> Reconciler:
        app = cache(lambda: make_celery(redis_url(self._configuration.queue, self._node.data_dir)))
        return Reconciler(self._journal.jobs, lambda job: enqueue(app(), job), self._configuration.queue)

    def _make_loops(self) -> list[Loop]:
        return [
            Loop("keep time", lambda _now: self._time.step(), every_s=1.0),
            self._assembling,
            *([self._counting] if self._counts else []),
            *([self._searching] if self._searcher.sources else []),
            self._enqueue,
            Loop("plan deliveries", self._plan_deliveries),
            *self._deliver,
            *(Loop(f"report commitments to {each.peer.name}", each.step) for each in self._commitment_reporters),
            Loop("clean up", self._clean_up, every_s=_CLEAN_UP_INTERVAL_S),
            *self._audit.loops(),
        ]

    def _assemble(self, now: float) -> None:
        # While the node was down, senders could not continue: an interrupted series gets one full quiet period.
        if time.monotonic() - self._started_at >= self._node.quiet_period_s:
            config_hash = self._configuration.config_hash
            self._journal.jobs.reopen_outdated(config_hash)
            choices = self._selector.choices(now)
            if assemble(self._journal, config_hash, choices, now, self._timeline.priors_for):
                self._enqueue.wake()
            if choices:
                self._searching.wake()
            if self._counts is not None and self._counts.has_questions:
                self._counting.wake()
            self._timeline.reopen_affected()

    def _count(self, now: float) -> None:
        if self._counts is not None and self._counts.step(now):
            self._assembling.wake()

    def _search(self, now: float) -> None:
        if self._searcher.step(now):
            self._assembling.wake()

    def _plan_deliveries(self, now: float) -> None:
        with_backfill = self._node.deliver_backfill
        if plan_deliveries(self._journal.deliveries, self._destinations, now, with_backfill=with_backfill):
            for loop in self._deliver:
                loop.wake()

    def _clean_up(self, now: float) -> None:
        if self._time.is_settled:
            remove_committed(self._journal.series, self._spool, self._node.retention_days, now)
        if closed := self._journal.commitments.close_others([each.peer.name for each in self._commitment_reporters]):
            log.error("%d storage commitment reports given up: their peers are no longer configured", closed)


def run_node(configuration: NodeConfiguration, stop: threading.Event) -> None:
    """Run a node until `stop` is set."""
    configure_libraries()
    threading.excepthook = lambda ended: log.error("thread ended: %s", where(ended.exc_value))
    with Journal(configuration.journal.url_in(configuration.node.data_dir)) as journal, Node(configuration, journal):
        # With a limit: a signal that arrives just before the wait would interrupt nothing, and be handled never.
        while not stop.wait(_SIGNAL_CHECK_S):
            pass
