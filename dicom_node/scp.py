"""The node's door to the network: C-ECHO, C-STORE, and both halves of storage commitment. Decides nothing later.

What was answered with success lies on the disk and in the journal; whoever is unknown is refused at the door.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    JPEG2000,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, Verification  # type: ignore[attr-defined]
from pynetdicom.transport import ThreadedAssociationServer

from dicom_node.commitment import CommitmentReport, answer, read_report
from dicom_node.errors import JournalUnavailable, PacsUnavailable, SpoolFull, UnreadableInstance
from dicom_node.journal import Journal
from dicom_node.reconciler import growing_pause
from dicom_node.scu import PacsClient, without_delay
from dicom_node.series import Instance
from dicom_node.settings import NodeSettings, Peer
from dicom_node.spool import Spool

log = logging.getLogger(__name__)

TRANSFER_SYNTAXES = [
    ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian,
    JPEGLosslessSV1, JPEGLossless, JPEGLSLossless, JPEGLSNearLossless, JPEG2000Lossless, JPEG2000, RLELossless,
]  # fmt: skip
MAXIMUM_PDU_SIZE = 131072

# PS3.4 table B.2-1, and PS3.7 C.
SUCCESS, NOT_AUTHORISED, PROCESSING_FAILURE = 0x0000, 0x0124, 0x0110
OUT_OF_RESOURCES, DATA_SET_DOES_NOT_MATCH, CANNOT_UNDERSTAND = 0xA700, 0xA900, 0xC000

_REPORT_TRIES = 5
_IDENTITY = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The application entity: who may come in, and what is done for them."""

    node: NodeSettings
    peers: Sequence[Peer]
    journal: Journal
    spool: Spool
    on_report: Callable[[CommitmentReport], None]

    def open(self) -> ThreadedAssociationServer:
        """Listen; returns at once."""
        ae = AE(ae_title=self.node.ae_title)
        ae.require_called_aet = True
        # pynetdicom takes an empty list for everyone; our own title may echo and nothing else.
        ae.require_calling_aet = [peer.ae_title for peer in self.peers] or [self.node.ae_title]
        ae.maximum_associations = self.node.max_associations
        ae.maximum_pdu_size = MAXIMUM_PDU_SIZE
        ae.acse_timeout = self.node.connect_timeout_s
        ae.dimse_timeout = ae.network_timeout = self.node.network_timeout_s
        ae.add_supported_context(Verification)
        ae.add_supported_context(CTImageStorage, TRANSFER_SYNTAXES)
        # PS3.4 J.3.3: the peer that reports on an association of its own proposes the SCP role for itself.
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        server = ae.start_server((self.node.host, self.node.port), block=False, evt_handlers=self._handlers())
        assert server is not None  # noqa: S101  (not blocking, so there is one)
        return server

    def _handlers(self) -> list[evt.EventHandlerType]:
        return [
            (evt.EVT_CONN_OPEN, without_delay),
            (evt.EVT_REJECTED, _log_rejection),
            (evt.EVT_ABORTED, _log_abort),
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_N_ACTION, self._on_commitment_request),
            (evt.EVT_N_EVENT_REPORT, self._on_commitment_report),
        ]

    def _on_store(self, event: evt.Event) -> int:
        """Put the object on the disk and into the journal, then answer."""
        calling = event.assoc.requestor.ae_title.strip()
        if not any(peer.may_send for peer in self._peers_called(calling)):
            log.warning("C-STORE from %s refused: it is not configured with may_send", calling)
            return NOT_AUTHORISED
        try:
            return self._keep(event, calling)
        except (SpoolFull, JournalUnavailable) as error:
            log.error("C-STORE from %s answered 0xA700: %s", calling, error)  # noqa: TRY400 - the line says it all
            return OUT_OF_RESOURCES
        except OSError as error:
            log.error("C-STORE from %s answered 0xA700: errno %s", calling, error.errno)  # noqa: TRY400
            return OUT_OF_RESOURCES
        except UnreadableInstance as error:
            log.warning("C-STORE from %s answered 0xC000: %s", calling, error)
            return CANNOT_UNDERSTAND

    def _keep(self, event: evt.Event, calling: str) -> int:
        encoded = event.encoded_dataset()
        header = _header(encoded)
        request = event.request
        if (header.SOPClassUID, header.SOPInstanceUID) != (
            request.AffectedSOPClassUID,
            request.AffectedSOPInstanceUID,  # type: ignore[union-attr]
        ):
            log.warning("C-STORE from %s answered 0xA900: command and data set name different instances", calling)
            return DATA_SET_DOES_NOT_MATCH
        instance = Instance(
            sop_instance_uid=str(header.SOPInstanceUID),
            sop_class_uid=str(header.SOPClassUID),
            series_uid=str(header.SeriesInstanceUID),
            study_uid=str(header.StudyInstanceUID),
            calling_ae_title=calling,
            file_sha256=hashlib.sha256(encoded).hexdigest(),
        )
        self.spool.write_instance(instance.series_uid, instance.sop_instance_uid, encoded)
        self.journal.record_instance(instance, time.time())
        return SUCCESS

    def _on_commitment_request(self, event: evt.Event) -> tuple[int, None]:
        """Answer for what we received (we are SCP); the report follows on an association of ours."""
        peers = self._peers_called(event.assoc.requestor.ae_title.strip())
        if not peers:
            return NOT_AUTHORISED, None
        try:
            event_type, report = answer(event.action_information, self.journal)
        except (AttributeError, JournalUnavailable):
            return PROCESSING_FAILURE, None
        threading.Thread(target=self._report, args=(peers[0], event_type, report), daemon=True).start()
        return SUCCESS, None

    def _report(self, peer: Peer, event_type: int, report: Dataset) -> None:
        for attempt in range(_REPORT_TRIES):
            try:
                PacsClient(peer, self.node).report_commitment(event_type, report)
            except PacsUnavailable as error:
                log.warning("transaction %s not reported: %s", report.TransactionUID, error)
                time.sleep(growing_pause(self.node.first_retry_s, self.node.longest_retry_s, attempt))
            else:
                return
        log.error("transaction %s: %s was never told", report.TransactionUID, peer.name)

    def _on_commitment_report(self, event: evt.Event) -> tuple[int, None]:
        """Take in what a peer promises for our results (we are SCU)."""
        try:
            self.on_report(read_report(event.event_information))
        except (AttributeError, JournalUnavailable):
            return PROCESSING_FAILURE, None
        return SUCCESS, None

    def _peers_called(self, ae_title: str) -> list[Peer]:
        return [peer for peer in self.peers if peer.ae_title == ae_title]


def _header(encoded: bytes) -> Dataset:
    """Return the four UIDs of an encoded object. Raises UnreadableInstance."""
    try:
        header = dcmread(BytesIO(encoded), stop_before_pixels=True, specific_tags=_IDENTITY)
        missing = [keyword for keyword in _IDENTITY if not header.get(keyword)]
    except (InvalidDicomError, EOFError, OSError, ValueError, AttributeError, KeyError, NotImplementedError) as error:
        raise UnreadableInstance(f"an object cannot be read ({type(error).__name__})") from None
    if missing:
        raise UnreadableInstance(f"an object has no {missing[0]}")
    return header


def _log_rejection(event: evt.Event) -> None:
    requestor = event.assoc.requestor
    log.warning("association from %s (calling %r) rejected", requestor.address, requestor.ae_title)


def _log_abort(event: evt.Event) -> None:
    log.warning("association from %s was aborted", event.assoc.requestor.address)
