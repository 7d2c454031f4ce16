"""THE NODE, top to bottom: receive -> assemble -> fetch priors -> queue, and deliver -> commit when a worker is done.

The door's threads receive; each loop below does one thing, and one for each destination delivers. They meet in the
journal alone, so each of them, and the whole process, may end at any moment.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType

from dicom_node.delivery.commitment_reports import CommitmentReporter
from dicom_node.delivery.delivery import DeliveryWorker, plan_deliveries, take_report
from dicom_node.errors import NodeError, SettingsError
from dicom_node.jobs import enqueue, make_celery
from dicom_node.journal.journal import Journal
from dicom_node.network.scp import RunningServer, StorageScp, close
from dicom_node.network.scu import PacsClient
from dicom_node.network.status import silence_libraries
from dicom_node.priors.search import PriorSearcher
from dicom_node.priors.source import make_source, take
from dicom_node.priors.timeline import PatientTimeline
from dicom_node.queue.assembler import assemble
from dicom_node.queue.reconciler import Reconciler, growing_pause, remove_committed
from dicom_node.queue.redis_server import redis_url
from dicom_node.settings import JournalSettings, NodeSettings, Peer, QueueSettings
from dicom_node.storage.receiver import InstanceReceiver
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 0.5
_LONGEST_PAUSE_S = 60.0
_CLEAN_EVERY_S = 3600.0
_ABORT_EVERY_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfiguration:
    """All that a node is told. `recipe` goes into every job's key; the node does not read it."""

    node: NodeSettings
    peers: Sequence[Peer]
    queue: QueueSettings
    journal: JournalSettings
    config_hash: str


class Node:
    """A running node: `with Node(configuration) as node: ...`; `port` is where it listens."""

    def __init__(self, configuration: NodeConfiguration) -> None:
        self._configuration = configuration
        self._node = configuration.node
        self._spool = Spool(self._node.data_dir, self._node.min_free_mb)
        self._journal = Journal(configuration.journal.url_in(self._node.data_dir))
        self._intake = InstanceReceiver(journal=self._journal, spool=self._spool)
        self._history = self._make_timeline()
        self._searcher = self._prior_searcher()
        self._destinations = [peer for peer in configuration.peers if peer.send_results]
        self._couriers = [self._delivery_worker(peer) for peer in self._destinations]
        self._keeper = self._commitment_reporter()
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._server: RunningServer | None = None
        self._open_since = 0.0

    def __enter__(self) -> Node:
        self._spool.remove_orphans()
        self._server = self._listen()
        self._open_since = time.time()
        self._start("assemble", self._assemble)
        if self._searcher.sources:
            self._start("search for priors", self._searcher.step)
        self._start("ring", self._reconciler().step)
        self._start("plan deliveries", self._plan_deliveries)
        for delivery_worker in self._couriers:
            self._start(f"deliver to {delivery_worker.peer.name}", delivery_worker.step)
        self._start("keep promises", self._keeper.step)
        self._start("clean up", self._clean_up, every_s=_CLEAN_EVERY_S)
        log.info("%s listens on %s:%d", self._node.ae_title, self._node.host, self.port)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the door, and end what the loops are in: whatever was not answered will be sent again."""
        self._stop.set()
        if self._server is not None:
            close(self._server)
        until = time.monotonic() + self._node.connect_timeout_s
        while any(thread.is_alive() for thread in self._threads) and time.monotonic() < until:
            self._keeper.abort()
            self._searcher.stop()
            for delivery_worker in self._couriers:
                delivery_worker.abort()
            time.sleep(_ABORT_EVERY_S)
        self._journal.close()

    @property
    def port(self) -> int:
        """The port that the node listens on."""
        assert self._server is not None  # noqa: S101  (asked of a running node)
        return int(self._server.server_address[1])

    def _listen(self) -> RunningServer:
        door = StorageScp(
            node=self._node,
            peers=self._configuration.peers,
            journal=self._journal,
            intake=self._intake,
            on_report=lambda report, peers: take_report(
                self._journal, report, self._node, {peer.name for peer in peers if peer.storage_commitment}
            ),
        )
        try:
            return door.open()
        except OSError as error:
            where = f"{self._node.host}:{self._node.port}"
            raise SettingsError(f"node.host and node.port: cannot listen on {where}: {error.strerror}") from None

    def _make_timeline(self) -> PatientTimeline:
        asks = any(peer.query_priors for peer in self._configuration.peers)
        return PatientTimeline(self._journal, self._spool, self._node, asks=asks)

    def _prior_searcher(self) -> PriorSearcher:
        asked = [peer for peer in self._configuration.peers if peer.query_priors]
        return PriorSearcher(
            node=self._node,
            journal=self._journal,
            spool=self._spool,
            history=self._history,
            sources=[make_source(peer, self._node, partial(take, self._intake, peer)) for peer in asked],
        )

    def _delivery_worker(self, peer: Peer) -> DeliveryWorker:
        client = PacsClient(peer, self._node)
        return DeliveryWorker(peer=peer, node=self._node, journal=self._journal, spool=self._spool, client=client)

    def _commitment_reporter(self) -> CommitmentReporter:
        clients = {peer.name: PacsClient(peer, self._node) for peer in self._configuration.peers if peer.may_send}
        return CommitmentReporter(node=self._node, clients=clients, journal=self._journal, spool=self._spool)

    def _reconciler(self) -> Reconciler:
        celery = make_celery(redis_url(self._configuration.queue, self._node.data_dir))
        return Reconciler(self._journal, lambda job: enqueue(celery, job), self._configuration.queue)

    def _assemble(self, now: float) -> None:
        # While the node was away nobody could send: what its end interrupted has a whole quiet period to go on.
        if now - self._open_since >= self._node.quiet_period_s:
            quiet_period_s = self._node.quiet_period_s
            assemble(self._journal, self._configuration.config_hash, quiet_period_s, now, self._history.priors_for)
            self._history.reopen_affected()

    def _plan_deliveries(self, now: float) -> None:
        plan_deliveries(self._journal, self._destinations, now, with_backfill=self._node.deliver_backfill)

    def _clean_up(self, now: float) -> None:
        remove_committed(self._journal, self._spool, self._node.retention_days, now)

    def _start(self, name: str, step: Callable[[float], None], every_s: float = _LOOK_EVERY_S) -> None:
        thread = threading.Thread(target=self._loop, args=(name, step, every_s), name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _loop(self, name: str, step: Callable[[float], None], every_s: float) -> None:
        """Do a step again and again; after a failure, with growing pauses."""
        failures = 0
        while not self._stop.is_set():
            try:
                step(time.time())
                failures = 0
            except NodeError as error:
                failures += 1
                log.warning("%s: %s", name, error)
            except Exception as error:  # noqa: BLE001 - the loop's boundary: what comes next must still be done
                failures += 1
                log.error("%s: unexpected %s", name, _where(error))  # noqa: TRY400
            self._stop.wait(growing_pause(every_s, max(every_s, _LONGEST_PAUSE_S), failures))


def _where(error: BaseException | None) -> str:
    """Return an error's type and place; its text may hold what a DICOM file says of the patient."""
    places = traceback.extract_tb(error.__traceback__ if error is not None else None)
    place = f" at {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
    return f"{type(error).__name__}{place}"


def run_node(configuration: NodeConfiguration, stop: threading.Event) -> None:
    """Run a node until `stop` is set."""
    silence_libraries()
    threading.excepthook = lambda ended: log.error("a thread ended: %s", _where(ended.exc_value))
    with Node(configuration):
        stop.wait()
