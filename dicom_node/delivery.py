"""Takes finished documents from the outbox to one destination: store, ask for commitment, retry with growing pauses.

A peer that is away delays nothing but its own deliveries, and is never given up; one that refuses a document for good
ends the job as FAILED, with the status. Knows no content.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from pydicom.uid import generate_uid

from dicom_node.commitment import CommitmentReport
from dicom_node.errors import PacsUnavailable
from dicom_node.jobs import JobState
from dicom_node.journal import DeliveryRecord, Journal
from dicom_node.reconciler import growing_pause
from dicom_node.scu import PacsClient
from dicom_node.settings import NodeSettings, Peer
from dicom_node.spool import Spool

log = logging.getLogger(__name__)

_NO_ANSWER = "no commitment in time"


def plan_deliveries(journal: Journal, destinations: Sequence[Peer], now: float) -> None:
    """Give every analysed job its deliveries: each document to each destination."""
    for record in journal.jobs([JobState.ANALYSED]):
        journal.ensure_deliveries(record.job.job_key, destinations, now)


def record_report(journal: Journal, report: CommitmentReport, node: NodeSettings) -> None:
    """Write down what a peer promised; what it did not is sent again after a pause."""
    known = journal.transaction(report.transaction_uid)
    if known is None:
        log.warning("transaction %s is not ours: report ignored", report.transaction_uid)
        return
    now = time.time()
    retry_at = now + growing_pause(node.first_retry_s, node.longest_retry_s, known.attempts)
    if journal.record_commitment(report.transaction_uid, report.committed, report.failed, now, retry_at):
        log.info(
            "transaction %s: %s committed %d, failed %d",
            report.transaction_uid, known.peer, len(report.committed), len(report.failed),
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """Serves one destination."""

    peer: Peer
    node: NodeSettings
    journal: Journal
    spool: Spool

    def step(self, now: float) -> None:
        """Do what is due now for this destination."""
        self._send_due(now)
        self._ask_for_commitment(now)
        self._expire(now)

    def _send_due(self, now: float) -> None:
        due = [delivery for delivery in self.journal.due_deliveries(now) if delivery.peer == self.peer.name]
        for _, members in groupby(due, key=lambda delivery: delivery.job_key):
            if not self._send(list(members)):
                return

    def _send(self, deliveries: list[DeliveryRecord]) -> bool:
        """Send one job's documents over one association; False when the peer is away."""
        waiting = {self.spool.document_path(d.job_key, d.document.file_name): d for d in deliveries}
        try:
            for outcome in PacsClient(self.peer, self.node).store(list(waiting)):
                delivery = waiting.pop(outcome.path)
                if outcome.refusal is None:
                    self.journal.mark_stored(delivery, time.time())
                    log.info(
                        "job %s: instance %s stored by %s", delivery.job_key, outcome.sop_instance_uid, self.peer.name
                    )
                else:
                    self.journal.mark_refused(delivery, str(outcome.refusal), time.time())
                    log.error("job %s: %s refused: %s", delivery.job_key, self.peer.name, outcome.refusal)
        except PacsUnavailable as error:
            self._postpone(list(waiting.values()), error)
            return False
        return True

    def _postpone(self, deliveries: list[DeliveryRecord], error: PacsUnavailable) -> None:
        for delivery in deliveries:
            pause = growing_pause(self.node.first_retry_s, self.node.longest_retry_s, delivery.attempts)
            self.journal.postpone(delivery, error.why, time.time() + pause)
        log.warning("%d documents wait for %s: %s", len(deliveries), self.peer.name, error.why)

    def _ask_for_commitment(self, now: float) -> None:
        waiting = [delivery for delivery in self.journal.awaiting_commitment(now) if delivery.peer == self.peer.name]
        for _, members in groupby(waiting, key=lambda delivery: delivery.job_key):
            if not self._request(list(members), now):
                return

    def _request(self, deliveries: list[DeliveryRecord], now: float) -> bool:
        """Open a transaction for one job's documents; False when the peer is away."""
        transaction_uid = str(generate_uid())  # PS3.4 J.3.3: a Transaction UID is used once
        references = [(d.document.sop_class_uid, d.document.sop_instance_uid) for d in deliveries]
        due_at = now + self.node.commitment_timeout_s
        self.journal.open_transaction(transaction_uid, self.peer.name, [uid for _, uid in references], due_at)
        try:
            PacsClient(self.peer, self.node).request_commitment(
                transaction_uid,
                references,
                on_report=lambda report: record_report(self.journal, report, self.node),
                is_answered=lambda: self._is_closed(transaction_uid),
            )
        except PacsUnavailable as error:
            attempts = max(delivery.attempts for delivery in deliveries)
            retry_at = time.time() + growing_pause(self.node.first_retry_s, self.node.longest_retry_s, attempts)
            self.journal.cancel_transaction(transaction_uid, error.why, retry_at)
            log.warning("transaction %s not requested: %s", transaction_uid, error)
            return False
        return True

    def _is_closed(self, transaction_uid: str) -> bool:
        known = self.journal.transaction(transaction_uid)
        return known is None or not known.open

    def _expire(self, now: float) -> None:
        for overdue in self.journal.overdue_transactions(now):
            if overdue.peer == self.peer.name:
                nothing = CommitmentReport(
                    transaction_uid=overdue.transaction_uid,
                    committed=frozenset(),
                    failed=dict.fromkeys(overdue.sop_instance_uids, _NO_ANSWER),
                )
                log.warning("transaction %s: %s has not answered in time", overdue.transaction_uid, self.peer.name)
                record_report(self.journal, nothing, self.node)
