"""Sends storage commitment reports, as SCP, to the peers that requested them (PS3.4 J.3.3)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from dicom_node.clock import CLOCK
from dicom_node.delivery.commitment import FAILURES_EXIST, report_dataset, verify_references
from dicom_node.errors import PacsUnavailable
from dicom_node.journal.commitments import CommitmentRequest
from dicom_node.journal.journal import Journal
from dicom_node.network.scu import PacsClient
from dicom_node.queue.reconciler import backoff_s
from dicom_node.settings import NodeSettings
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 12
"""After so many, a storage commitment report is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReporter:
    """Sends the report of each storage commitment request on a new association."""

    node: NodeSettings
    clients: Mapping[str, PacsClient]
    """By peer name."""
    journal: Journal
    spool: Spool

    def step(self, now: float) -> None:
        """Send the reports that are due."""
        for request in self.journal.commitments.due(now):
            client = self.clients.get(request.peer)
            if client is None:
                self._give_up(request, "the peer is no longer configured")
            else:
                self._report(request, client)

    def abort(self) -> None:
        """Abort the report that is being sent."""
        for client in self.clients.values():
            client.abort()

    def _report(self, request: CommitmentRequest, client: PacsClient) -> None:
        event_type, report = report_dataset(
            request.transaction_uid, verify_references(request.references, self.journal.series, self.spool)
        )
        try:
            client.report_commitment(event_type, report)
        except PacsUnavailable as error:
            self._postpone(request, error)
        else:
            self.journal.commitments.close(request)
            outcome = "with failures" if event_type == FAILURES_EXIST else "all committed"
            log.info("transaction %s of %s: reported, %s", request.transaction_uid, request.peer, outcome)

    def _postpone(self, request: CommitmentRequest, error: PacsUnavailable) -> None:
        if request.attempts + 1 >= MAX_ATTEMPTS:
            self._give_up(request, error.why)
            return
        pause = backoff_s(self.node.retry_backoff_s, self.node.retry_backoff_max_s, request.attempts)
        self.journal.commitments.postpone(request, CLOCK.now() + pause)
        log.warning(
            "transaction %s of %s: report not sent yet: %s",
            request.transaction_uid,
            request.peer,
            error.why,
        )

    def _give_up(self, request: CommitmentRequest, why: str) -> None:
        self.journal.commitments.close(request)
        log.error("transaction %s of %s: report given up: %s", request.transaction_uid, request.peer, why)
