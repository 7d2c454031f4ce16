"""Keeps what the node promised as storage commitment SCP: each request gets its report (PS3.4 J.3.3)."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from dicom_node.delivery.commitment import FAILURES_EXIST, examine, report_dataset
from dicom_node.errors import PacsUnavailable
from dicom_node.journal.commitments import CommitmentRequest
from dicom_node.journal.journal import Journal
from dicom_node.network.scu import PacsClient
from dicom_node.queue.reconciler import growing_pause
from dicom_node.settings import NodeSettings
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

_MOST_TRIES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReporter:
    """Reports to the peers that asked; each on an association of our own."""

    node: NodeSettings
    clients: Mapping[str, PacsClient]
    """By the peer's name."""
    journal: Journal
    spool: Spool

    def step(self, now: float) -> None:
        """Send the reports that are due now."""
        for request in self.journal.due_requests(now):
            client = self.clients.get(request.peer)
            if client is None:
                self._give_up(request, "it is not configured any more")
            else:
                self._report(request, client)

    def abort(self) -> None:
        """End the report that is being sent."""
        for client in self.clients.values():
            client.abort()

    def _report(self, request: CommitmentRequest, client: PacsClient) -> None:
        event_type, report = report_dataset(
            request.transaction_uid, examine(request.references, self.journal, self.spool)
        )
        try:
            client.report_commitment(event_type, report)
        except PacsUnavailable as error:
            self._try_again(request, error)
        else:
            self.journal.close_request(request)
            told = "with failures" if event_type == FAILURES_EXIST else "all committed"
            log.info("transaction %s of %s: told, %s", request.transaction_uid, request.peer, told)

    def _try_again(self, request: CommitmentRequest, error: PacsUnavailable) -> None:
        if request.attempts + 1 >= _MOST_TRIES:
            self._give_up(request, error.why)
            return
        pause = growing_pause(self.node.retry_backoff_s, self.node.retry_backoff_max_s, request.attempts)
        self.journal.postpone_request(request, time.time() + pause)
        log.warning(
            "transaction %s of %s: not told yet: %s",
            request.transaction_uid,
            request.peer,
            error.why,
        )

    def _give_up(self, request: CommitmentRequest, why: str) -> None:
        self.journal.close_request(request)
        log.error("transaction %s: %s was never told: %s", request.transaction_uid, request.peer, why)
