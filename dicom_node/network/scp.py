"""The node's door to the network: C-ECHO, C-STORE, and both halves of storage commitment. Decides nothing later.

What was answered with success lies on the disk and in the journal; whoever is unknown is refused at the door.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pynetdicom
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from pynetdicom import AE, evt
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.transport import ThreadedAssociationServer

from dicom_node.delivery.commitment import CommitmentReport, read_report, read_request
from dicom_node.errors import JournalUnavailable, SpoolFull, UnreadableInstance
from dicom_node.journal.journal import Journal
from dicom_node.network.association import on_connected
from dicom_node.network.status import (
    CANNOT_UNDERSTAND,
    COMMITMENT,
    COMPRESSED,
    DATA_SET_DOES_NOT_MATCH,
    DUPLICATE_TRANSACTION,
    MAXIMUM_PDU_LENGTH,
    MISTYPED_ARGUMENT,
    NOT_AUTHORISED,
    OUT_OF_RESOURCES,
    PROCESSING_FAILURE,
    SUCCESS,
    VERIFICATION,
    abort,
)
from dicom_node.prior import RESULTS
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.receiver import InstanceReceiver, ReceivedInstance

log = logging.getLogger(__name__)

TRANSFER_SYNTAXES = [
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, *COMPRESSED,
]  # fmt: skip

RunningServer = ThreadedAssociationServer
"""A door that is open."""

OnReport = Callable[[CommitmentReport, Sequence[Peer]], int]
"""Takes in a report that one of these peers sent, and returns the status to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageScp:
    """The application entity: who may come in, and what is done for them."""

    node: NodeSettings
    peers: Sequence[Peer]
    journal: Journal
    intake: InstanceReceiver
    on_report: OnReport

    def open(self) -> RunningServer:
        """Listen; returns at once."""
        pynetdicom._config.LOG_HANDLER_LEVEL = "none"  # its own lines cost time, and quote data sets
        ae = AE(ae_title=self.node.ae_title)
        ae.require_called_aet = True
        # pynetdicom takes an empty list for everyone; our own title may echo and nothing else.
        ae.require_calling_aet = [peer.ae_title for peer in self.peers] or [self.node.ae_title]
        ae.maximum_associations = self.node.max_associations
        ae.maximum_pdu_size = MAXIMUM_PDU_LENGTH
        ae.acse_timeout = self.node.connect_timeout_s
        ae.dimse_timeout = ae.network_timeout = self.node.network_timeout_s
        ae.add_supported_context(VERIFICATION)
        server = ae.start_server((self.node.host, self.node.port), block=False, evt_handlers=self._handlers())
        assert server is not None  # noqa: S101  (not blocking, so there is one)
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
        """Offer the caller what it is configured for, and nothing else."""
        request: Any = event.assoc.requestor.primitive
        event.assoc.acceptor.supported_contexts = _contexts_for(self._called(request.calling_ae_title))

    def _on_store(self, event: evt.Event) -> int:
        """Put the object on the disk and into the journal, then answer."""
        calling = _calling(event)
        try:
            return self._keep(event, calling)
        except UnreadableInstance as error:
            log.warning("C-STORE from %s answered 0xC000: %s", calling, error)
            return CANNOT_UNDERSTAND
        except (SpoolFull, JournalUnavailable) as error:
            log.error("C-STORE from %s answered 0xA700: %s", calling, error)  # noqa: TRY400 - the line says it all
        except OSError as error:
            log.error("C-STORE from %s answered 0xA700: errno %s", calling, error.errno)  # noqa: TRY400
        return OUT_OF_RESOURCES

    def _keep(self, event: evt.Event, calling: str) -> int:
        request: Any = event.request
        originator = (request.MoveOriginatorApplicationEntityTitle or "").strip()
        arrival = ReceivedInstance(
            encoded=request.DataSet.getbuffer(),
            transfer_syntax_uid=event.context.transfer_syntax,
            sop_class_uid=request.AffectedSOPClassUID,
            sop_instance_uid=request.AffectedSOPInstanceUID,
            calling_ae_title=calling,
            # PS3.7 9.1.1.1 wants who asked for the C-MOVE; some name the one that serves it.
            is_fetched=originator in (self.node.ae_title, calling),
        )
        if request.AffectedSOPClassUID == event.context.abstract_syntax and self.intake.keep(arrival):
            return SUCCESS
        log.warning("C-STORE from %s answered 0xA900: command and data set name different instances", calling)
        return DATA_SET_DOES_NOT_MATCH

    def _on_commitment_request(self, event: evt.Event) -> tuple[int, None]:
        """Promise an answer for what we received (we are SCP); it follows on an association of ours."""
        senders = [peer for peer in self._called(_calling(event)) if peer.may_send]
        if not senders:
            return NOT_AUTHORISED, None
        try:
            transaction_uid, references = read_request(event.action_information)
            if self.journal.add_commitment_request(transaction_uid, senders[0].name, references, time.time()):
                return SUCCESS, None
        except (AttributeError, UnreadableInstance):
            return MISTYPED_ARGUMENT, None
        except JournalUnavailable:
            return PROCESSING_FAILURE, None
        return DUPLICATE_TRANSACTION, None

    def _on_commitment_report(self, event: evt.Event) -> tuple[int, None]:
        """Take in what a peer promises for our results (we are SCU)."""
        try:
            return self.on_report(read_report(event.event_information), self._called(_calling(event))), None
        except AttributeError:
            return MISTYPED_ARGUMENT, None
        except JournalUnavailable:
            return PROCESSING_FAILURE, None

    def _called(self, ae_title: str) -> list[Peer]:
        return [peer for peer in self.peers if peer.ae_title == ae_title]


def close(server: ThreadedAssociationServer) -> None:
    """Take no more associations, and end those that are open, without waiting for their peers."""
    for association in server.active_associations:
        connection = association.dul.socket
        abort(connection.socket if connection is not None else None)
    server.ae.shutdown()


def _contexts_for(peers: Sequence[Peer]) -> list[PresentationContext]:
    contexts = [build_context(VERIFICATION)]
    if any(peer.may_send or peer.query_priors for peer in peers):
        contexts.append(build_context(CTImageStorage, list(TRANSFER_SYNTAXES)))
    if any(peer.query_priors for peer in peers):
        contexts += [build_context(sop_class, list(TRANSFER_SYNTAXES)) for sop_class in RESULTS]
    if any(peer.may_send or peer.storage_commitment for peer in peers):
        commitment = build_context(COMMITMENT)
        # PS3.4 J.3.3: the peer that reports on an association of its own proposes the SCP role for itself.
        commitment.scu_role = commitment.scp_role = True
        contexts.append(commitment)
    return contexts


def _calling(event: evt.Event) -> str:
    return event.assoc.requestor.ae_title.strip()


def _log_rejection(event: evt.Event) -> None:
    requestor = event.assoc.requestor
    called = requestor.primitive.called_ae_title if requestor.primitive is not None else ""
    log.warning("association from %s (%r calling %r) rejected", requestor.address, requestor.ae_title, called)


def _log_early_end(event: evt.Event) -> None:
    """Tell of a connection that never asked for an association."""
    if event.assoc.requestor.primitive is None:
        log.warning("connection from %s ended without an association", event.assoc.requestor.address)


def _log_abort(event: evt.Event) -> None:
    log.warning("association from %s (%r) was aborted", event.assoc.requestor.address, _calling(event))
