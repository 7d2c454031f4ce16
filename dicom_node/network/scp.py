"""Verification, Storage and Storage Commitment SCP of the node.

An instance is on disk before its C-STORE is answered with success. Associations from unknown AE titles are rejected.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pynetdicom
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context

from dicom_node.audit.events import Refusal
from dicom_node.audit.message import Participant
from dicom_node.audit.trail import AuditTrail, no_audit
from dicom_node.clock import CLOCK
from dicom_node.delivery.commitment import (
    MAX_OPEN_REQUESTS,
    CommitmentLimit,
    CommitmentReport,
    read_report,
    read_request,
)
from dicom_node.errors import JournalUnavailable, SettingsError, UnreadableInstance
from dicom_node.identifiers import VERIFICATION
from dicom_node.journal.commitments import CommitmentJournal
from dicom_node.network.acceptor import GuardedAE, GuardedServer, OpenScp, accepted_of
from dicom_node.network.addresses import PeerAddresses
from dicom_node.network.admission import Admission
from dicom_node.network.association import on_connected
from dicom_node.network.association_log import AssociationLog
from dicom_node.network.association_request import AssociationObserver
from dicom_node.network.contexts import ACCEPTED
from dicom_node.network.message_buffers import ArrivingDataSet, message_limits
from dicom_node.network.status import (
    DUPLICATE_TRANSACTION,
    INVALID_ARGUMENT,
    MAXIMUM_PDU_LENGTH,
    MISTYPED_ARGUMENT,
    NOT_AUTHORISED,
    PROCESSING_FAILURE,
    RESOURCE_LIMITATION,
    SUCCESS,
)
from dicom_node.network.store_status import store
from dicom_node.network.tls import ServerTls
from dicom_node.series import Instance
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.receiver import InstanceReceiver, ReceivedInstance

log = logging.getLogger(__name__)

_SWITCH_INTERVAL_S = 0.001

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
    audit: AuditTrail = field(default_factory=no_audit)

    @property
    def _observers(self) -> Sequence[AssociationObserver]:
        return (AssociationLog(audit=self.audit),)

    def open(self) -> OpenScp:
        """Start to listen, without blocking. Raises SettingsError if a port or a certificate cannot be used."""
        pynetdicom._config.LOG_HANDLER_LEVEL = "none"  # its log lines cost time and quote data sets
        # A thread that waits for the interpreter gets it after 1 ms, not 5: eight associations answer in half the time.
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        tls = ServerTls(self.node) if self.node.tls != "off" else None
        admission = Admission(node=self.node, peers=self.peers, addresses=PeerAddresses(self.peers))
        admission.addresses.open()
        opened = OpenScp(plain=None, secured=None, admission=admission)
        try:
            if self.node.tls != "only":
                opened = replace(opened, plain=self._listen(admission, "port", None))
            return replace(opened, secured=self._listen(admission, "tls_port", tls)) if tls is not None else opened
        except SettingsError:
            opened.close()
            raise

    def _listen(self, admission: Admission, setting: str, tls: ServerTls | None) -> GuardedServer:
        limits = replace(message_limits(self.node), require_room=self.receiver.require_room)
        ae = GuardedAE(limits, admission=admission, observers=self._observers, tls=tls)
        ae.require_called_aet = True
        ae.maximum_associations = 2 * self.node.max_associations  # `Admission` counts: some of these are ending
        ae.maximum_pdu_size = MAXIMUM_PDU_LENGTH
        ae.acse_timeout = self.node.association_timeout_s
        ae.dimse_timeout = ae.network_timeout = self.node.network_timeout_s
        ae.add_supported_context(VERIFICATION)
        address = (self.node.host, getattr(self.node, setting))
        try:
            server = ae.start_server(address, block=False, evt_handlers=self._handlers())
        except OSError as error:
            where = f"{address[0]}:{address[1]}"
            raise SettingsError(f"node.host and node.{setting}: cannot listen on {where}: {error.strerror}") from None
        assert isinstance(server, GuardedServer)  # noqa: S101  (returned because block=False)
        return server

    def _handlers(self) -> list[evt.EventHandlerType]:
        return [
            (evt.EVT_CONN_OPEN, on_connected, [self.node.network_timeout_s]),
            (evt.EVT_REQUESTED, _on_requested),
            (evt.EVT_ACCEPTED, self._on_accepted),
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_N_ACTION, self._on_commitment_request),
            (evt.EVT_N_EVENT_REPORT, self._on_commitment_report),
        ]

    def _on_accepted(self, event: evt.Event) -> None:
        accepted = accepted_of(event.assoc)
        accepted.tally.is_accepted = True
        for observer in self._observers:
            observer.on_accepted(accepted.requestor)

    def _on_store(self, event: evt.Event) -> int:
        """Write the instance to disk, then respond."""
        request: Any = event.request
        calling = _calling(event)
        originator = (request.MoveOriginatorApplicationEntityTitle or "").strip()
        data_set: ArrivingDataSet = request.DataSet

        def keep() -> Instance | None:
            received = ReceivedInstance(
                encoded=data_set.content(),
                transfer_syntax_uid=event.context.transfer_syntax,
                sop_class_uid=request.AffectedSOPClassUID,
                sop_instance_uid=request.AffectedSOPInstanceUID,
                calling_ae_title=calling,
                # PS3.7 9.1.1.1: the AE that requested the C-MOVE; some peers send their own title instead.
                is_fetched=originator in (self.node.ae_title, calling),
            )
            is_negotiated = request.AffectedSOPClassUID == event.context.abstract_syntax
            return self.receiver.keep(received) if is_negotiated else None

        status = store(keep, "C-STORE", _participant(event), self.audit)
        accepted_of(event.assoc).tally.count(status)
        return status

    def _on_commitment_request(self, event: evt.Event) -> tuple[int, None]:
        """Record a request for commitment of received instances (SCP role); the report follows on a new association."""
        senders = [peer for peer in _peers(event) if peer.may_send]
        if not senders:
            self._refuse(event, "request of storage commitment", "the peer has no may_send")
            return NOT_AUTHORISED, None
        try:
            transaction_uid, references = read_request(event.action_information)
            self._require_room(senders[0])
            self.receiver.wait_until_recorded()  # the report is on what the peer has sent before
            if self.commitments.add(transaction_uid, senders[0].name, references, CLOCK.now()):
                return SUCCESS, None
        except (AttributeError, UnreadableInstance):
            return MISTYPED_ARGUMENT, None
        except CommitmentLimit as limit:
            log.warning("N-ACTION from %s answered 0x0213: %s", senders[0].name, limit)
            return RESOURCE_LIMITATION, None
        except JournalUnavailable:
            return PROCESSING_FAILURE, None
        return DUPLICATE_TRANSACTION, None

    def _require_room(self, sender: Peer) -> None:
        if self.commitments.count_open(sender.name) >= MAX_OPEN_REQUESTS:
            raise CommitmentLimit(f"{MAX_OPEN_REQUESTS} requests wait for their reports")

    def _on_commitment_report(self, event: evt.Event) -> tuple[int, None]:
        """Handle a peer's commitment report for our results (SCU role)."""
        try:
            status = self.on_report(read_report(event.event_information), _peers(event))
            if status == INVALID_ARGUMENT:
                self._refuse(event, "commitment report", "its transaction was not opened with that peer")
            return status, None  # noqa: TRY300
        except AttributeError:
            return MISTYPED_ARGUMENT, None
        except JournalUnavailable:
            return PROCESSING_FAILURE, None

    def _refuse(self, event: evt.Event, what: str, why: str) -> None:
        by = _participant(event)
        self.audit.refused(Refusal.FUNCTION, by, f"{what} from {by.address} ({by.ae_title!r}) refused: {why}")


def _on_requested(event: evt.Event) -> None:
    """Support the presentation contexts that the requestor is configured for."""
    event.assoc.acceptor.supported_contexts = _contexts_for(_peers(event))


def _peers(event: evt.Event) -> Sequence[Peer]:
    """Return the peers that the association is of; their settings say what they may."""
    return accepted_of(event.assoc).requestor.peers


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


def _participant(event: evt.Event) -> Participant:
    """Return the calling application; log lines speak of it by its AE title."""
    requestor = accepted_of(event.assoc).requestor
    return Participant(user_id=requestor.ae_title, ae_title=requestor.ae_title, address=requestor.address)


def _calling(event: evt.Event) -> str:
    return event.assoc.requestor.ae_title.strip()
