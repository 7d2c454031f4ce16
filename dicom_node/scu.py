"""The node as a client of a PACS: echo, store, ask for commitment, report it. Reads every status, waits never for ever."""

from __future__ import annotations

import functools
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    Verification,
)

from dicom_node.commitment import CommitmentReport, Reference, read_report, request_dataset
from dicom_node.errors import PacsRefused, PacsUnavailable
from dicom_node.settings import NodeSettings, Peer

SUCCESS = 0x0000
STORED_WITH_WARNING = frozenset({0xB000, 0xB006, 0xB007})
"""PS3.4 table B.2-1: the object is stored; elements were coerced, or did not match."""
OUT_OF_RESOURCES = range(0xA700, 0xA800)
SOP_CLASS_NOT_SUPPORTED = 0x0122
MOST_CONTEXTS = 128
"""PS3.8 9.3.2.2: presentation context IDs are the odd numbers to 255."""

OnReport = Callable[[CommitmentReport], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutcome:
    """One file that a peer was given; `refusal` says why it will not take it."""

    path: Path
    sop_instance_uid: str
    refusal: PacsRefused | None


def without_delay(event: evt.Event) -> None:
    """Send small packets at once: without this a C-STORE waits 40 ms for a delayed acknowledgement."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class PacsClient:
    """Speaks with one peer, an association for each call."""

    def __init__(self, peer: Peer, node: NodeSettings) -> None:
        self.peer = peer
        self._node = node

    def echo(self) -> None:
        """C-ECHO. Raises PacsUnavailable."""
        with self._association([build_context(Verification)]) as association:
            self._require_success(association.send_c_echo(), "C-ECHO")

    def store(self, paths: Sequence[Path]) -> Iterator[StoreOutcome]:
        """C-STORE each file, over one association, and yield its outcome as it is known.

        Raises PacsUnavailable when the peer cannot take (more) now; what was yielded before is stored or refused.
        """
        if not paths:
            return
        with self._association(_contexts_for(paths)) as association:
            for path in paths:
                yield self._store_one(association, path)

    def request_commitment(
        self,
        transaction_uid: str,
        references: Sequence[Reference],
        on_report: OnReport,
        is_answered: Callable[[], bool],
    ) -> None:
        """Ask for storage commitment (N-ACTION), and stay for a while in case that the report comes this way.

        The report may as well come over an association of the peer's own (PS3.4 J.3.3), which the SCP receives;
        `is_answered` then ends the wait. Raises PacsUnavailable.
        """
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_N_EVENT_REPORT, functools.partial(_on_report, on_report=on_report))
        ]
        with self._association([build_context(StorageCommitmentPushModel)], handlers) as association:
            status, _ = association.send_n_action(
                request_dataset(transaction_uid, references),
                1,  # PS3.4 table J.3-1: Request Storage Commitment
                StorageCommitmentPushModel,
                StorageCommitmentPushModelInstance,
            )
            self._require_success(status, "N-ACTION")
            until = time.monotonic() + self._node.commitment_wait_s
            while time.monotonic() < until and association.is_established and not is_answered():
                time.sleep(0.05)

    def report_commitment(self, event_type: int, report: Dataset) -> None:
        """Report what became of the peer's own request (N-EVENT-REPORT), as SCP. Raises PacsUnavailable."""
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        with self._association([build_context(StorageCommitmentPushModel)], roles=[role]) as association:
            status, _ = association.send_n_event_report(
                report, event_type, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            self._require_success(status, "N-EVENT-REPORT")

    def _store_one(self, association: Association, path: Path) -> StoreOutcome:
        document = dcmread(path)
        uid = str(document.SOPInstanceUID)
        if not _is_accepted(association, str(document.SOPClassUID)):
            return StoreOutcome(path=path, sop_instance_uid=uid, refusal=PacsRefused(uid, SOP_CLASS_NOT_SUPPORTED))
        try:
            answer = association.send_c_store(document)
        except (RuntimeError, ValueError) as error:
            if association.is_established:  # its transfer syntax was not accepted, say
                return StoreOutcome(path=path, sop_instance_uid=uid, refusal=PacsRefused(uid, SOP_CLASS_NOT_SUPPORTED))
            raise PacsUnavailable(self.peer.name, f"C-STORE: {type(error).__name__}") from None
        if "Status" not in answer:
            raise PacsUnavailable(self.peer.name, "C-STORE: no answer in time")
        if answer.Status == SUCCESS or answer.Status in STORED_WITH_WARNING:
            return StoreOutcome(path=path, sop_instance_uid=uid, refusal=None)
        if answer.Status in OUT_OF_RESOURCES:
            raise PacsUnavailable(self.peer.name, f"C-STORE: out of resources, status 0x{answer.Status:04X}")
        return StoreOutcome(path=path, sop_instance_uid=uid, refusal=PacsRefused(uid, int(answer.Status)))

    def _require_success(self, answer: Dataset, what: str) -> None:
        if "Status" not in answer:
            raise PacsUnavailable(self.peer.name, f"{what}: no answer in time")
        if answer.Status != SUCCESS:
            raise PacsUnavailable(self.peer.name, f"{what}: status 0x{answer.Status:04X}")

    @contextmanager
    def _association(
        self,
        contexts: list[PresentationContext],
        handlers: Sequence[evt.EventHandlerType] = (),
        roles: Sequence[object] = (),
    ) -> Iterator[Association]:
        ae = AE(ae_title=self._node.ae_title)
        ae.connection_timeout = ae.acse_timeout = self._node.connect_timeout_s
        ae.dimse_timeout = ae.network_timeout = self._node.network_timeout_s
        association = ae.associate(
            self.peer.host,
            self.peer.port,
            contexts,
            ae_title=self.peer.ae_title,
            ext_neg=list(roles),  # type: ignore[arg-type]
            evt_handlers=[(evt.EVT_CONN_OPEN, without_delay), *handlers],
        )
        if not association.is_established:
            why = "the association was rejected" if association.is_rejected else "no association"
            raise PacsUnavailable(self.peer.name, f"{why} with {self.peer.host}:{self.peer.port}")
        try:
            yield association
        finally:
            if association.is_established:
                association.release()


def _on_report(event: evt.Event, on_report: OnReport) -> tuple[int, None]:
    on_report(read_report(event.event_information))
    return SUCCESS, None


def _is_accepted(association: Association, sop_class_uid: str) -> bool:
    return any(context.abstract_syntax == sop_class_uid for context in association.accepted_contexts)


def _contexts_for(paths: Sequence[Path]) -> list[PresentationContext]:
    """Return one presentation context for each kind of file: its SOP class in the syntax in which it lies there."""
    metas = [dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True) for path in paths]
    kinds = sorted({(str(meta.SOPClassUID), str(meta.file_meta.TransferSyntaxUID)) for meta in metas})
    return [build_context(sop_class, syntax) for sop_class, syntax in kinds[:MOST_CONTEXTS]]
