"""Takes finished documents from the outbox to one destination: store, ask for commitment, retry with growing pauses.

A peer that is away delays nothing but its own deliveries. One that refuses a document for good, or is away for longer
than `node.retry_deadline_s`, ends the job as FAILED, with the reason. Knows no content.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pydicom.uid import generate_uid

from dicom_node.delivery.commitment import CommitmentReport
from dicom_node.errors import PacsUnavailable
from dicom_node.journal.journal import DeliveryRecord, Journal
from dicom_node.network.scu import PacsClient
from dicom_node.network.status import INVALID_ARGUMENT, SUCCESS
from dicom_node.queue.reconciler import growing_pause
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

_NO_ANSWER = "no commitment in time"
_MOST_IN_ONE_REQUEST = 500


def plan_deliveries(journal: Journal, destinations: Sequence[Peer], now: float, *, with_backfill: bool = True) -> None:
    """Give every analysed job its deliveries: each document to each destination."""
    for job_key in journal.unplanned(destinations, with_backfill=with_backfill):
        journal.ensure_deliveries(job_key, destinations, now)


def take_report(journal: Journal, report: CommitmentReport, node: NodeSettings, peers: Collection[str]) -> int:
    """Write down what one of these peers reported, and return the status to answer.

    What it did not commit is sent again after a pause. PS3.4 J.3.3: a Transaction UID is answered once, so a report
    that is repeated changes nothing.
    """
    known = journal.transaction(report.transaction_uid)
    if known is None or known.peer not in peers:
        log.warning("a report for a transaction that was not opened with %s is ignored", " or ".join(sorted(peers)))
        return INVALID_ARGUMENT
    record_report(journal, report, node, known.attempts)
    return SUCCESS


def record_report(journal: Journal, report: CommitmentReport, node: NodeSettings, attempts: int) -> None:
    """Record a report, or that none came."""
    now = time.time()
    retry_at = now + growing_pause(node.retry_backoff_s, node.retry_backoff_max_s, attempts)
    if journal.record_commitment(report.transaction_uid, report.committed, report.failed, now, retry_at):
        log.log(
            logging.WARNING if report.failed else logging.INFO,
            "transaction %s: committed %d, failed %d",
            report.transaction_uid,
            len(report.committed),
            len(report.failed),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryWorker:
    """Serves one destination."""

    peer: Peer
    node: NodeSettings
    journal: Journal
    spool: Spool
    client: PacsClient

    def step(self, now: float) -> None:
        """Do what is due now for this destination."""
        self._send_due(now)
        self._ask_for_commitment(now)
        self._expire(now)

    def abort(self) -> None:
        """End what is being sent."""
        self.client.abort()

    def _send_due(self, now: float) -> None:
        """Send all that is due over one association."""
        due = self._still_hoped_for(self.journal.due_deliveries(now))
        waiting = {self.spool.document_path(d.job_key, d.document.file_name): d for d in due}
        try:
            for outcome in self.client.store(list(waiting)):
                delivery = waiting.pop(outcome.path)
                if outcome.refusal is None:
                    self.journal.mark_stored(delivery, time.time())
                    log.info("job %s: %s stored %s", delivery.job_key, self.peer.name, outcome.sop_instance_uid)
                else:
                    self._refuse(delivery, str(outcome.refusal))
        except PacsUnavailable as error:
            for delivery in waiting.values():
                self.journal.postpone(delivery, error.why, time.time() + self._pause_s(delivery.attempts))
            log.warning("%d documents wait for %s: %s", len(waiting), self.peer.name, error.why)

    def _still_hoped_for(self, deliveries: list[DeliveryRecord]) -> list[DeliveryRecord]:
        """Return ours of the deliveries, without those that have failed for too long: these are refused."""
        ours = [delivery for delivery in deliveries if delivery.peer == self.peer.name]
        hopeless = [delivery for delivery in ours if self._waited_s(delivery.attempts) >= self.node.retry_deadline_s]
        for delivery in hopeless:
            self._refuse(delivery, f"given up after {delivery.attempts} attempts: {delivery.reason}")
        return [delivery for delivery in ours if delivery not in hopeless]

    def _refuse(self, delivery: DeliveryRecord, why: str) -> None:
        self.journal.mark_refused(delivery, why, time.time())
        log.error("job %s: not delivered to %s: %s", delivery.job_key, self.peer.name, why)

    def _pause_s(self, attempts: int) -> float:
        return growing_pause(self.node.retry_backoff_s, self.node.retry_backoff_max_s, attempts)

    def _waited_s(self, attempts: int) -> float:
        """Return how long the pauses before this attempt were, all together."""
        return sum(self._pause_s(attempt) for attempt in range(attempts))

    def _ask_for_commitment(self, now: float) -> None:
        waiting = self._still_hoped_for(self.journal.awaiting_commitment(now))
        if waiting:
            self._request(waiting[:_MOST_IN_ONE_REQUEST], now)

    def _request(self, deliveries: list[DeliveryRecord], now: float) -> None:
        """Open one transaction for these documents."""
        transaction_uid = str(generate_uid())  # PS3.4 J.3.3: a Transaction UID is used once
        references = [(d.document.sop_class_uid, d.document.sop_instance_uid) for d in deliveries]
        due_at = now + self.node.commitment_timeout_s
        self.journal.open_transaction(transaction_uid, self.peer.name, [uid for _, uid in references], due_at)
        try:
            self.client.request_commitment(
                transaction_uid,
                references,
                on_report=lambda report: take_report(self.journal, report, self.node, {self.peer.name}),
                is_answered=lambda: self._is_closed(transaction_uid),
            )
        except PacsUnavailable as error:
            attempts = max(delivery.attempts for delivery in deliveries)
            self.journal.cancel_transaction(transaction_uid, error.why, time.time() + self._pause_s(attempts))
            log.warning("transaction %s was not requested: %s", transaction_uid, error)

    def _is_closed(self, transaction_uid: str) -> bool:
        known = self.journal.transaction(transaction_uid)
        return known is None or not known.open

    def _expire(self, now: float) -> None:
        """Take the transactions that nobody answered as failed: what is in them is sent again."""
        for overdue in self.journal.overdue_transactions(now):
            if overdue.peer == self.peer.name:
                nothing = CommitmentReport(
                    transaction_uid=overdue.transaction_uid,
                    committed=frozenset(),
                    failed=dict.fromkeys(overdue.sop_instance_uids, _NO_ANSWER),
                )
                log.warning("transaction %s: %s has not answered in time", overdue.transaction_uid, self.peer.name)
                record_report(self.journal, nothing, self.node, overdue.attempts)
