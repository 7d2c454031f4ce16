"""Delivers result documents from the outbox to one destination: sending, storage commitment, retries with backoff.

A peer that is unavailable delays its own deliveries only. If a peer refuses a document for good, or is unavailable for
longer than `node.retry_deadline_s`, the job becomes FAILED, with the reason.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pydicom.uid import generate_uid

from dicom_node.clock import CLOCK
from dicom_node.delivery.commitment import CommitmentReport
from dicom_node.errors import PacsUnavailable
from dicom_node.journal.deliveries import DeliveryJournal
from dicom_node.journal.delivery_records import DeliveryRecord
from dicom_node.journal.journal import Journal
from dicom_node.journal.transactions import TransactionJournal
from dicom_node.network.scu import PacsClient
from dicom_node.network.sender import Sender
from dicom_node.network.status import INVALID_ARGUMENT, SUCCESS
from dicom_node.queue.reconciler import backoff_s
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

_NO_REPORT = "no commitment report in time"
MAX_REFERENCES = 500
"""Most instances of one storage commitment request."""


def plan_deliveries(
    deliveries: DeliveryJournal, destinations: Sequence[Peer], now: float, *, with_backfill: bool = True
) -> int:
    """Create the deliveries of every analysed job: each document to each destination; return the number of jobs."""
    keys = deliveries.jobs_to_plan(destinations, with_backfill=with_backfill)
    for job_key in keys:
        deliveries.ensure(job_key, destinations, now)
    return len(keys)


def record_peer_report(
    transactions: TransactionJournal, report: CommitmentReport, node: NodeSettings, peers: Collection[str]
) -> int:
    """Record a commitment report from one of these peers, and return the status of the response.

    Documents that it does not commit are sent again after a pause. PS3.4 J.3.3: a Transaction UID is answered once, so
    a repeated report changes nothing.
    """
    known = transactions.get(report.transaction_uid)
    if known is None or known.peer not in peers:
        return INVALID_ARGUMENT
    record_report(transactions, report, node, known.attempts)
    return SUCCESS


def record_report(
    transactions: TransactionJournal, report: CommitmentReport, node: NodeSettings, attempts: int
) -> None:
    """Record a report; an overdue transaction is recorded as a report with all instances failed."""
    now = CLOCK.now()
    retry_at = now + backoff_s(node.retry_backoff_s, node.retry_backoff_max_s, attempts)
    if transactions.record_report(report.transaction_uid, report.committed, report.failed, now, retry_at):
        log.log(
            logging.WARNING if report.failed else logging.INFO,
            "transaction %s: committed %d, failed %d",
            report.transaction_uid,
            len(report.committed),
            len(report.failed),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryWorker:
    """Delivers documents to one destination."""

    peer: Peer
    node: NodeSettings
    journal: Journal
    spool: Spool
    client: PacsClient
    """Requests storage commitment."""
    sender: Sender
    """Sends the documents."""

    def step(self, now: float) -> None:
        """Send the due documents, request commitments and close overdue transactions."""
        self._send_due(now)
        self._request_due_commitments(now)
        self._close_overdue(now)

    def abort(self) -> None:
        """Abort the association in use."""
        self.sender.abort()
        self.client.abort()

    def _send_due(self, now: float) -> None:
        """Send all due documents."""
        due = self._within_deadline(self.journal.deliveries.due(now))
        waiting = {self.spool.document_path(d.job_key, d.document.file_name): d for d in due}
        try:
            for outcome in self.sender.store(list(waiting)):
                delivery = waiting.pop(outcome.path)
                if outcome.error is None:
                    self.journal.deliveries.mark_stored(delivery, now)  # so that its commitment is due in this step
                    log.info("job %s: %s stored %s", delivery.job_key, self.peer.name, outcome.sop_instance_uid)
                else:
                    self._mark_refused(delivery, str(outcome.error))
        except PacsUnavailable as error:
            for delivery in waiting.values():
                self.journal.deliveries.postpone(delivery, error.why, CLOCK.now() + self._pause_s(delivery.attempts))
            log.warning("%d documents wait for %s: %s", len(waiting), self.peer.name, error.why)

    def _within_deadline(self, deliveries: list[DeliveryRecord]) -> list[DeliveryRecord]:
        """Return the deliveries to this peer within the retry deadline; mark the others as refused."""
        own = [delivery for delivery in deliveries if delivery.peer == self.peer.name]
        expired = [
            delivery for delivery in own if self._total_backoff_s(delivery.attempts) >= self.node.retry_deadline_s
        ]
        for delivery in expired:
            self._mark_refused(delivery, f"given up after {delivery.attempts} attempts: {delivery.reason}")
        return [delivery for delivery in own if delivery not in expired]

    def _mark_refused(self, delivery: DeliveryRecord, why: str) -> None:
        self.journal.deliveries.mark_refused(delivery, why, CLOCK.now())
        log.error("job %s: not delivered to %s: %s", delivery.job_key, self.peer.name, why)

    def _pause_s(self, attempts: int) -> float:
        return backoff_s(self.node.retry_backoff_s, self.node.retry_backoff_max_s, attempts)

    def _total_backoff_s(self, attempts: int) -> float:
        """Return the sum of the pauses before this attempt, in seconds."""
        return sum(self._pause_s(attempt) for attempt in range(attempts))

    def _request_due_commitments(self, now: float) -> None:
        waiting = self._within_deadline(self.journal.deliveries.awaiting_commitment(now))
        if waiting:
            self._open_transaction(waiting[:MAX_REFERENCES], now)

    def _open_transaction(self, deliveries: list[DeliveryRecord], now: float) -> None:
        """Open one transaction for these documents, and request their commitment."""
        transaction_uid = str(generate_uid())  # PS3.4 J.3.3: a Transaction UID is used once
        references = [(d.document.sop_class_uid, d.document.sop_instance_uid) for d in deliveries]
        due_at = now + self.node.commitment_timeout_s
        self.journal.transactions.open(transaction_uid, self.peer.name, [uid for _, uid in references], due_at)
        try:
            self.client.request_commitment(
                transaction_uid,
                references,
                on_report=lambda report: record_peer_report(
                    self.journal.transactions, report, self.node, {self.peer.name}
                ),
                is_answered=lambda: self._is_closed(transaction_uid),
            )
        except PacsUnavailable as error:
            attempts = max(delivery.attempts for delivery in deliveries)
            self.journal.transactions.cancel(transaction_uid, error.why, CLOCK.now() + self._pause_s(attempts))
            log.warning("transaction %s: request failed: %s", transaction_uid, error)

    def _is_closed(self, transaction_uid: str) -> bool:
        known = self.journal.transactions.get(transaction_uid)
        return known is None or not known.open

    def _close_overdue(self, now: float) -> None:
        """Record overdue transactions as failed, so that their documents are sent again."""
        for overdue in self.journal.transactions.overdue(now):
            if overdue.peer == self.peer.name:
                failed = CommitmentReport(
                    transaction_uid=overdue.transaction_uid,
                    committed=frozenset(),
                    failed=dict.fromkeys(overdue.sop_instance_uids, _NO_REPORT),
                )
                log.warning("transaction %s: no report from %s in time", overdue.transaction_uid, self.peer.name)
                record_report(self.journal.transactions, failed, self.node, overdue.attempts)
