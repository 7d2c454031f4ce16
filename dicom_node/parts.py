"""The parts of a node, and how they are made from its configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from dicom_node.audit.clients import AuditedSender, audited_sources
from dicom_node.audit.settings import AuditSettings
from dicom_node.audit.trail import AuditTrail
from dicom_node.delivery.commitment_reports import CommitmentReporter, make_reporters
from dicom_node.delivery.delivery import DeliveryWorker
from dicom_node.jobs import enqueue, make_celery
from dicom_node.journal.journal import Journal
from dicom_node.network.scu import PacsClient
from dicom_node.network.sender import make_sender
from dicom_node.priority.priorities import Priorities
from dicom_node.priority.settings import PrioritySettings
from dicom_node.priors.search import PriorSearcher
from dicom_node.priors.source import Source
from dicom_node.priors.timeline import PatientTimeline
from dicom_node.queue.reconciler import Reconciler
from dicom_node.queue.redis_server import redis_url
from dicom_node.retention.clean_up import CleanUp
from dicom_node.retention.settings import RetentionSettings
from dicom_node.selection.pacs_counts import PacsCounts
from dicom_node.selection.rules import SelectionSettings
from dicom_node.selection.selector import StudySelector
from dicom_node.settings import DicomwebSettings, JournalSettings, NodeSettings, Peer, QueueSettings
from dicom_node.storage.receiver import InstanceReceiver
from dicom_node.storage.spool import Spool
from dicom_node.time_keeper import TimeKeeper, make_time_keeper


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
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    priority: PrioritySettings = field(default_factory=PrioritySettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a node consists of, beside its servers and loops."""

    spool: Spool
    audit: AuditTrail
    receiver: InstanceReceiver
    timeline: PatientTimeline
    priorities: Priorities
    counts: PacsCounts | None
    """None if no peer is asked how many instances it has."""
    selector: StudySelector
    searcher: PriorSearcher
    destinations: Sequence[Peer]
    """The peers that receive results, each with a delivery worker."""
    delivery_workers: Sequence[DeliveryWorker]
    commitment_reporters: Sequence[CommitmentReporter]
    reconciler: Reconciler
    clean_up: CleanUp
    time: TimeKeeper


def make_parts(configuration: NodeConfiguration, journal: Journal) -> Parts:
    """Make the parts of a node, none of which does anything yet. Raises SettingsError."""
    return _Maker(configuration, journal).make()


class _Maker:
    """Makes the parts, those first that others need."""

    def __init__(self, configuration: NodeConfiguration, journal: Journal) -> None:
        self._configuration, self._node, self._journal = configuration, configuration.node, journal
        self._spool = Spool(self._node.data_dir, self._node.min_free_mb)
        self._audit = AuditTrail(configuration.audit, self._node)
        refuses = self._node.changed_instances == "refuse"
        self._receiver = InstanceReceiver(journal.series, self._spool, refuses_changes=refuses)
        queries_priors = any(peer.query_priors for peer in configuration.peers)
        self._timeline = PatientTimeline(journal, self._spool, self._node, queries_priors=queries_priors)

    def make(self) -> Parts:
        configuration = self._configuration
        counts = self._counts()
        selector = self._selector(counts)
        destinations = [peer for peer in configuration.peers if peer.send_results]
        return Parts(
            spool=self._spool,
            audit=self._audit,
            receiver=self._receiver,
            timeline=self._timeline,
            priorities=Priorities(configuration.priority, configuration.peers, self._journal, self._spool),
            counts=counts,
            selector=selector,
            searcher=self._searcher(selector),
            destinations=destinations,
            delivery_workers=[self._delivery_worker(peer) for peer in destinations],
            commitment_reporters=make_reporters(configuration.peers, self._node, self._journal, self._spool),
            reconciler=self._reconciler(),
            clean_up=self._clean_up(),
            time=make_time_keeper(self._journal, self._node, configuration.queue),
        )

    def _sources(self) -> list[Source]:
        """Return a source for each peer that is queried; each loop needs its own, since one association is open."""
        queried = [peer for peer in self._configuration.peers if peer.query_priors]
        return audited_sources(queried, self._node, self._receiver, self._audit)

    def _counts(self) -> PacsCounts | None:
        sources, limit_s = self._sources(), self._configuration.selection.completion_limit_s
        return PacsCounts(sources=sources, limit_s=limit_s) if sources and limit_s > 0 else None

    def _selector(self, counts: PacsCounts | None) -> StudySelector:
        return StudySelector(
            journal=self._journal,
            spool=self._spool,
            settings=self._configuration.selection,
            quiet_period_s=self._node.quiet_period_s,
            counts=counts,
        )

    def _searcher(self, selector: StudySelector) -> PriorSearcher:
        return PriorSearcher(
            node=self._node,
            journal=self._journal,
            spool=self._spool,
            timeline=self._timeline,
            sources=self._sources(),
            waiting=lambda now: [choice.series for choice in selector.choices(now) if choice.series is not None],
        )

    def _delivery_worker(self, peer: Peer) -> DeliveryWorker:
        return DeliveryWorker(
            peer=peer,
            node=self._node,
            journal=self._journal,
            spool=self._spool,
            sender=AuditedSender(make_sender(peer, self._node), peer, self._audit),
            client=PacsClient(peer, self._node),
        )

    def _reconciler(self) -> Reconciler:
        app = cache(lambda: make_celery(redis_url(self._configuration.queue, self._node.data_dir)))
        held = self._configuration.priority.held
        return Reconciler(self._journal.jobs, lambda job: enqueue(app(), job), self._configuration.queue, held=held)

    def _clean_up(self) -> CleanUp:
        return CleanUp(
            settings=self._configuration.retention,
            peers=self._configuration.peers,
            node=self._node,
            journal=self._journal,
            spool=self._spool,
            audit=self._audit,
        )
