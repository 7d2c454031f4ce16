"""Keeps what the node promised as storage commitment SCP: each request gets its report (PS3.4 J.3.3)."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass

from dicom_node.delivery.commitment import FAILURES_EXIST, examine, report_dataset
from dicom_node.errors import PacsUnavailable
from dicom_node.journal.commitments import Promise
from dicom_node.journal.journal import Journal
from dicom_node.network.scu import PacsClient
from dicom_node.queue.reconciler import growing_pause
from dicom_node.settings import NodeSettings
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

_MOST_TRIES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class PromiseKeeper:
    """Reports to the peers that asked; each on an association of our own."""

    node: NodeSettings
    clients: Mapping[str, PacsClient]
    """By the peer's name."""
    journal: Journal
    spool: Spool

    def step(self, now: float) -> None:
        """Send the reports that are due now."""
        for promise in self.journal.due_promises(now):
            client = self.clients.get(promise.peer)
            if client is None:
                self._give_up(promise, "it is not configured any more")
            else:
                self._report(promise, client)

    def hang_up(self) -> None:
        """End the report that is being sent."""
        for client in self.clients.values():
            client.hang_up()

    def _report(self, promise: Promise, client: PacsClient) -> None:
        event_type, report = report_dataset(
            promise.transaction_uid, examine(promise.references, self.journal, self.spool)
        )
        try:
            client.report_commitment(event_type, report)
        except PacsUnavailable as error:
            self._try_again(promise, error)
        else:
            self.journal.close_promise(promise)
            told = "with failures" if event_type == FAILURES_EXIST else "all committed"
            log.info("transaction %s of %s: told, %s", promise.transaction_uid, promise.peer, told)

    def _try_again(self, promise: Promise, error: PacsUnavailable) -> None:
        if promise.attempts + 1 >= _MOST_TRIES:
            self._give_up(promise, error.why)
            return
        pause = growing_pause(self.node.first_retry_s, self.node.longest_retry_s, promise.attempts)
        self.journal.postpone_promise(promise, time.time() + pause)
        log.warning("transaction %s of %s: not told yet: %s", promise.transaction_uid, promise.peer, error.why)

    def _give_up(self, promise: Promise, why: str) -> None:
        self.journal.close_promise(promise)
        log.error("transaction %s: %s was never told: %s", promise.transaction_uid, promise.peer, why)
