"""Verification, Storage and Storage Commitment SCP of the node.

An instance is on disk before its C-STORE is answered with success. Associations from unknown AE titles are rejected.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pynetdicom
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import ThreadedAssociationServer

from dicom_node.clock import CLOCK
from dicom_node.delivery.commitment import CommitmentReport, read_report, read_request
from dicom_node.errors import JournalUnavailable, UnreadableInstance
from dicom_node.identifiers import VERIFICATION
from dicom_node.journal.commitments import CommitmentJournal
from dicom_node.network.association import NodeAE, on_connected
from dicom_node.network.contexts import ACCEPTED
from dicom_node.network.status import (
    DUPLICATE_TRANSACTION,
    MAXIMUM_PDU_LENGTH,
    MISTYPED_ARGUMENT,
    NOT_AUTHORISED,
    PROCESSING_FAILURE,
    SUCCESS,
    abort,
)
from dicom_node.network.store_status import store
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.receiver import InstanceReceiver, ReceivedInstance

log = logging.getLogger(__name__)

_SWITCH_INTERVAL_S = 0.001

RunningServer = ThreadedAssociationServer
"""The server that `StorageScp.open` returns."""

OnReport = Callable[[CommitmentReport, Sequence[Peer]], int]
"""Receives a commitment report and the peers that may have sent it; returns the status of the response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageScp:
    """The application entity: accepts associations from known peers, and handles their requests."""

    node: NodeSettings
    peers: Sequence[Peer]
    commitments: CommitmentJournal
    receiver: InstanceReceiver
    on_report: OnReport

    def open(self) -> RunningServer:
        """Start to listen, and return the server without blocking. Raises OSError if the port cannot be bound."""
        pynetdicom._config.LOG_HANDLER_LEVEL = "none"  # its log lines cost time and quote data sets
        # A thread that waits for the interpreter gets it after 1 ms, not 5: eight associations answer in half the time.
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        ae = NodeAE(ae_title=self.node.ae_title)
        ae.require_called_aet = True
        # An empty list would accept every AE title in pynetdicom; with our own title only C-ECHO is possible.
        ae.require_calling_aet = [peer.ae_title for peer in self.peers] or [self.node.ae_title]
        ae.maximum_associations = self.node.max_associations
        ae.maximum_pdu_size = MAXIMUM_PDU_LENGTH
        ae.acse_timeout = self.node.connect_timeout_s
        ae.dimse_timeout = ae.network_timeout = self.node.network_timeout_s
        ae.add_supported_context(VERIFICATION)
        server = ae.start_server((self.node.host, self.node.port), block=False, evt_handlers=self._handlers())
        assert server is not None  # noqa: S101  (returned because block=False)
        return server

    def _handlers(self) -> list[evt.EventHandlerType]:
        return [
            (evt.EVT_CONN_OPEN, on_connected, [self.node.network_timeout_s]),
            (evt.EVT_REQUESTED, self._on_requested),
            (evt.EVT_REJECTED, _log_rejection),
            (evt.EVT_CONN_CLOSE, _log_early_end),
            (evt.EVT_ABORTED, _log_abort),
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_N_ACTION, self._on_commitment_request),
            (evt.EVT_N_EVENT_REPORT, self._on_commitment_report),
        ]

    def _on_requested(self, event: evt.Event) -> None:
        """Support the presentation contexts that the requestor is configured for."""
        request: Any = event.assoc.requestor.primitive
        event.assoc.acceptor.supported_contexts = _contexts_for(self._peers_titled(request.calling_ae_title))

    def _on_store(self, event: evt.Event) -> int:
        """Write the instance to disk, then respond."""
        request: Any = event.request
        calling = _calling(event)
        originator = (request.MoveOriginatorApplicationEntityTitle or "").strip()
        received = ReceivedInstance(
            encoded=request.DataSet.getvalue(),  # without a copy, here and in read_header
            transfer_syntax_uid=event.context.transfer_syntax,
            sop_class_uid=request.AffectedSOPClassUID,
            sop_instance_uid=request.AffectedSOPInstanceUID,
            calling_ae_title=calling,
            # PS3.7 9.1.1.1: the AE that requested the C-MOVE; some peers send their own title instead.
            is_fetched=originator in (self.node.ae_title, calling),
        )
        is_negotiated = request.AffectedSOPClassUID == event.context.abstract_syntax
        return store(lambda: is_negotiated and self.receiver.keep(received), f"C-STORE from {calling}")

    def _on_commitment_request(self, event: evt.Event) -> tuple[int, None]:
        """Record a request for commitment of received instances (SCP role); the report follows on a new association."""
        senders = [peer for peer in self._peers_titled(_calling(event)) if peer.may_send]
        if not senders:
            return NOT_AUTHORISED, None
        try:
            transaction_uid, references = read_request(event.action_information)
            self.receiver.wait_until_recorded()  # the report is on what the peer has sent before
            if self.commitments.add(transaction_uid, senders[0].name, references, CLOCK.now()):
                return SUCCESS, None
        except (AttributeError, UnreadableInstance):
            return MISTYPED_ARGUMENT, None
        except JournalUnavailable:
            return PROCESSING_FAILURE, None
        return DUPLICATE_TRANSACTION, None

    def _on_commitment_report(self, event: evt.Event) -> tuple[int, None]:
        """Handle a peer's commitment report for our results (SCU role)."""
        try:
            return self.on_report(read_report(event.event_information), self._peers_titled(_calling(event))), None
        except AttributeError:
            return MISTYPED_ARGUMENT, None
        except JournalUnavailable:
            return PROCESSING_FAILURE, None

    def _peers_titled(self, ae_title: str) -> list[Peer]:
        return [peer for peer in self.peers if peer.ae_title == ae_title]


def close(server: ThreadedAssociationServer) -> None:
    """Stop listening, and end the open associations without waiting for their peers."""
    for association in server.active_associations:
        connection = association.dul.socket
        abort(connection.socket if connection is not None else None)
    server.ae.shutdown()


def _contexts_for(peers: Sequence[Peer]) -> list[PresentationContext]:
    contexts = []
    for accepted in ACCEPTED:
        if any(accepted.is_for(peer) for peer in peers):
            for sop_class in accepted.sop_classes:
                context = build_context(sop_class, list(accepted.transfer_syntaxes))
                if accepted.has_both_roles:
                    context.scu_role = context.scp_role = True
                contexts.append(context)
    return contexts


def _calling(event: evt.Event) -> str:
    return event.assoc.requestor.ae_title.strip()


def _log_rejection(event: evt.Event) -> None:
    requestor = event.assoc.requestor
    called = requestor.primitive.called_ae_title if requestor.primitive is not None else ""
    log.warning("association from %s (%r calling %r) rejected", requestor.address, requestor.ae_title, called)


def _log_early_end(event: evt.Event) -> None:
    """Log a connection that ended without an association request."""
    if event.assoc.requestor.primitive is None:
        log.warning("connection from %s ended without an association", event.assoc.requestor.address)


def _log_abort(event: evt.Event) -> None:
    log.warning("association from %s (%r) was aborted", event.assoc.requestor.address, _calling(event))
