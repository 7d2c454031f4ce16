"""Sends storage commitment reports, as SCP, to a peer that requested them (PS3.4 J.3.3)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from pydicom import Dataset

from dicom_node.clock import CLOCK
from dicom_node.delivery.commitment import VerifiedFiles, report_dataset, verify_references
from dicom_node.errors import PacsUnavailable
from dicom_node.journal.commitments import CommitmentRequest
from dicom_node.journal.journal import Journal
from dicom_node.network.scu import PacsClient
from dicom_node.queue.reconciler import backoff_s
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 12
"""After so many, a storage commitment report is given up."""
REPORTS_OF_ONE_ASSOCIATION = 50
"""Some modalities request commitment image by image: an association for each would take a minute for 1,500 images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitmentReporter:
    """Sends the reports of one peer's requests, so that no peer delays the reports of another."""

    peer: Peer
    node: NodeSettings
    client: PacsClient
    journal: Journal
    spool: Spool
    verified: VerifiedFiles = field(default_factory=VerifiedFiles)

    def step(self, now: float) -> None:
        """Send the reports that are due."""
        while self._send_some(now):
            pass

    def abort(self) -> None:
        """Abort the report that is being sent."""
        self.client.abort()

    def _send_some(self, now: float) -> bool:
        """Send reports over one association; whether more may be due, and the peer takes them."""
        requests = self.journal.commitments.due(now, self.peer.name, REPORTS_OF_ONE_ASSOCIATION)
        if not requests:
            return False
        waiting = deque(requests)
        try:
            for refused in self.client.report_commitments(self._reports(requests)):
                self._conclude(waiting.popleft(), refused)
        except PacsUnavailable as error:
            # What was answered is concluded. Without an association all wait; else the one in whose middle it ended.
            for request in requests if len(waiting) == len(requests) else list(waiting)[:1]:
                self._postpone(request, error)
            return False
        return len(requests) == REPORTS_OF_ONE_ASSOCIATION

    def _reports(self, requests: Sequence[CommitmentRequest]) -> Iterator[tuple[int, Dataset]]:
        for request in requests:
            failures = verify_references(request.references, self.journal.series, self.spool, self.verified)
            if failed := sum(reason is not None for reason in failures.values()):
                where = f"transaction {request.transaction_uid} of {request.peer}"
                log.warning("%s: %d of %d instances are not committed", where, failed, len(failures))
            yield report_dataset(request.transaction_uid, failures)

    def _conclude(self, request: CommitmentRequest, refused: PacsUnavailable | None) -> None:
        if refused is not None:
            self._postpone(request, refused)
        else:
            self.journal.commitments.close(request)
            log.info("transaction %s of %s: reported", request.transaction_uid, request.peer)

    def _postpone(self, request: CommitmentRequest, error: PacsUnavailable) -> None:
        if request.attempts + 1 >= MAX_ATTEMPTS:
            self.journal.commitments.close(request)
            log.error("transaction %s of %s: report given up: %s", request.transaction_uid, request.peer, error.why)
            return
        pause = backoff_s(self.node.retry_backoff_s, self.node.retry_backoff_max_s, request.attempts)
        self.journal.commitments.postpone(request, CLOCK.now() + pause)
        log.warning(
            "transaction %s of %s: report not sent yet: %s",
            request.transaction_uid,
            request.peer,
            error.why,
        )


def make_reporters(
    peers: Sequence[Peer], node: NodeSettings, journal: Journal, spool: Spool
) -> list[CommitmentReporter]:
    """Return a reporter for each peer that may request storage commitment."""
    return [
        CommitmentReporter(peer=peer, node=node, client=PacsClient(peer, node), journal=journal, spool=spool)
        for peer in peers
        if peer.may_send and peer.has_address
    ]
