"""Service class user: C-ECHO, C-STORE, C-FIND, C-MOVE, C-GET and storage commitment with a PACS."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from dicom_node.delivery.commitment import REQUEST_COMMITMENT, CommitmentReport, read_report, request_dataset
from dicom_node.dicom_file import DAMAGE, read_file
from dicom_node.errors import NodeError, PacsRefused, PacsUnavailable, UnreadableInstance
from dicom_node.identifiers import (
    COMMITMENT,
    COMMITMENT_INSTANCE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
)
from dicom_node.journal.commitments import Reference
from dicom_node.network import contexts
from dicom_node.network.association import AssociationRequestor, NoAcceptedContext
from dicom_node.network.status import RETRIEVED, RETRYABLE, SOP_CLASS_NOT_SUPPORTED, STORED, SUCCESS
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.receiver import ReceivedInstance

MIN_BYTES_PER_S = 100_000
"""The response to a C-STORE is waited for `node.network_timeout_s`, and longer for a large file, by this rate."""

OnReport = Callable[[CommitmentReport], int]
"""Receives a commitment report; returns the status of the response."""
OnInstance = Callable[[str, Callable[[], ReceivedInstance]], None]
"""Receives the SOP Instance UID of a retrieved instance, and returns it; that may raise what `keep` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutcome:
    """The outcome of storing one file; `error` is the final error, None if it was stored."""

    path: Path
    sop_instance_uid: str
    error: NodeError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """Numbers of completed and failed sub-operations of a retrieval."""

    completed: int
    failed: int


class PacsClient:
    """Client of one peer; each call opens one association."""

    def __init__(self, peer: Peer, node: NodeSettings) -> None:
        self.peer = peer
        self._node = node
        self._requestor = AssociationRequestor(peer, node)

    def abort(self) -> None:
        """End the current call of another thread at once; it raises PacsUnavailable there."""
        self._requestor.abort()

    def echo(self) -> None:
        """Send C-ECHO. Raises PacsUnavailable."""
        with self._association(contexts.proposed(contexts.ECHO)) as association:
            self._require(association.send_c_echo(), "C-ECHO")

    def store(self, paths: Sequence[Path]) -> Iterator[StoreOutcome]:
        """Send C-STORE for each file over one association, and yield each outcome.

        Raises PacsUnavailable if the peer cannot store (more) now; the outcomes yielded before are final.
        """
        kinds = {path: _kind(path) for path in paths}
        readable = [path for path, kind in kinds.items() if kind is not None]
        for path in kinds.keys() - readable:
            error = UnreadableInstance("the file cannot be read or is not DICOM")
            yield StoreOutcome(path=path, sop_instance_uid="", error=error)
        if not readable:
            return
        try:
            with self._association(contexts.proposed_for_files(kind for kind in kinds.values() if kind)) as association:
                for path in readable:
                    yield self._store_one(association, path)
        except NoAcceptedContext:
            yield from (_refused(path, SOP_CLASS_NOT_SUPPORTED) for path in readable)

    def find(self, query: Dataset) -> list[Dataset]:
        """Return the matches of a query (C-FIND, study root). Raises PacsUnavailable."""
        with self._association(contexts.proposed(contexts.FIND)) as association:
            answers = list(association.send_c_find(query, STUDY_ROOT_FIND))
            self._require(answers[-1][0], "C-FIND")
            return [found for _, found in answers if found is not None]

    def move(self, query: Dataset, destination_ae_title: str) -> Retrieval:
        """Retrieve instances to an AE title (C-MOVE, study root). Raises PacsUnavailable."""
        with self._association(contexts.proposed(contexts.MOVE)) as association:
            answers = association.send_c_move(query, destination_ae_title, STUDY_ROOT_MOVE)
            return self._retrieval([status for status, _ in answers], "C-MOVE")

    def get(self, query: Dataset, on_instance: OnInstance) -> Retrieval:
        """Retrieve images and result documents (C-GET, study root). Raises PacsUnavailable."""
        retrieved = (contexts.RETRIEVED_IMAGES, contexts.RETRIEVED_REPORTS)
        # PS3.4 C.5.3: we are the storage SCP of C-GET, a role that the requestor must propose.
        roles = [build_role(sop_class, scp_role=True) for service in retrieved for sop_class in service.sop_classes]
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_C_STORE, functools.partial(_on_store, on_instance=on_instance, peer=self.peer))
        ]
        with self._association(contexts.proposed(contexts.GET, *retrieved), handlers, roles) as association:
            answers = association.send_c_get(query, STUDY_ROOT_GET)
            return self._retrieval([status for status, _ in answers], "C-GET")

    def request_commitment(
        self,
        transaction_uid: str,
        references: Sequence[Reference],
        on_report: OnReport,
        is_answered: Callable[[], bool],
    ) -> None:
        """Request storage commitment (N-ACTION), and wait `node.commitment_wait_s` for a report on this association.

        The report may also arrive on a new association from the peer (PS3.4 J.3.3), which the SCP handles;
        `is_answered` then ends the wait. Raises PacsUnavailable.
        """
        handlers: list[evt.EventHandlerType] = [
            (evt.EVT_N_EVENT_REPORT, functools.partial(_on_report, on_report=on_report))
        ]
        with self._association(contexts.proposed(contexts.COMMIT), handlers) as association:
            request = request_dataset(transaction_uid, references)
            status, _ = association.send_n_action(request, REQUEST_COMMITMENT, COMMITMENT, COMMITMENT_INSTANCE)
            self._require(status, "N-ACTION")
            until = time.monotonic() + self._node.commitment_wait_s
            while time.monotonic() < until and association.is_established and not is_answered():
                time.sleep(0.05)

    def report_commitments(self, reports: Iterable[tuple[int, Dataset]]) -> Iterator[PacsUnavailable | None]:
        """Send reports of a peer's commitment requests (N-EVENT-REPORT), as SCP, over one association.

        reports: Event Type ID and event information of each. Yields None for each that the peer has taken, else why
        not. Raises PacsUnavailable if it takes no more; what was yielded before is final.
        """
        # PS3.4 J.3.3: without role selection the requestor is the SCU.
        role = build_role(COMMITMENT, scp_role=True)
        with self._association(contexts.proposed(contexts.REPORT_COMMITMENT), roles=[role]) as association:
            for event_type, report in reports:
                status, _ = association.send_n_event_report(report, event_type, COMMITMENT, COMMITMENT_INSTANCE)
                try:
                    self._require(status, "N-EVENT-REPORT")
                except PacsUnavailable as refused:
                    if refused.status is None:
                        raise
                    yield refused
                else:
                    yield None

    def _store_one(self, association: Association, path: Path) -> StoreOutcome:
        try:
            document = read_file(path)
        except UnreadableInstance as error:
            return StoreOutcome(path=path, sop_instance_uid="", error=error)
        association.dimse_timeout = self._node.network_timeout_s + path.stat().st_size / MIN_BYTES_PER_S
        try:
            answer = association.send_c_store(document)
        except ValueError:  # no presentation context was accepted for it
            return _refused(path, SOP_CLASS_NOT_SUPPORTED)
        if "Status" in answer and answer.Status not in STORED | RETRYABLE:
            return _refused(path, int(answer.Status))
        self._require(answer, "C-STORE", STORED)
        return StoreOutcome(path=path, sop_instance_uid=str(document.SOPInstanceUID), error=None)

    def _retrieval(self, statuses: list[Dataset], operation: str) -> Retrieval:
        self._require(statuses[-1], operation, RETRIEVED)
        return Retrieval(
            completed=int(statuses[-1].get("NumberOfCompletedSuboperations") or 0),
            failed=int(statuses[-1].get("NumberOfFailedSuboperations") or 0),
        )

    def _association(
        self,
        proposed: list[contexts.Context],
        handlers: Sequence[evt.EventHandlerType] = (),
        roles: Sequence[object] = (),
    ) -> AbstractContextManager[Association]:
        built = [build_context(abstract_syntax, list(syntaxes)) for abstract_syntax, syntaxes in proposed]
        return self._requestor.association(built, handlers, roles)

    def _require(self, answer: Dataset, operation: str, accepted: frozenset[int] = frozenset({SUCCESS})) -> None:
        if "Status" not in answer:
            raise PacsUnavailable(self.peer.name, f"{operation}: no response in time, or association aborted")
        if answer.Status not in accepted:
            raise PacsUnavailable(self.peer.name, f"{operation}: status 0x{answer.Status:04X}", int(answer.Status))


def _on_report(event: evt.Event, on_report: OnReport) -> tuple[int, None]:
    return on_report(read_report(event.event_information)), None


def _on_store(event: evt.Event, on_instance: OnInstance, peer: Peer) -> int:
    request: Any = event.request

    def read() -> ReceivedInstance:
        return ReceivedInstance(
            encoded=request.DataSet.content(),
            transfer_syntax_uid=event.context.transfer_syntax,
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            calling_ae_title=peer.ae_title,
            is_fetched=True,
        )

    on_instance(str(request.AffectedSOPInstanceUID), read)
    return SUCCESS


def _refused(path: Path, status: int) -> StoreOutcome:
    uid = str(read_file(path, header_only=True, keywords=["SOPInstanceUID"]).SOPInstanceUID)
    return StoreOutcome(path=path, sop_instance_uid=uid, error=PacsRefused(uid, status))


def _kind(path: Path) -> tuple[str, str] | None:
    """Return SOP class and transfer syntax of a file; None if it cannot be read or lacks one."""
    try:
        header = read_file(path, header_only=True, keywords=["SOPClassUID", "SOPInstanceUID"])
        return str(header.SOPClassUID), str(header.file_meta.TransferSyntaxUID)
    except (UnreadableInstance, *DAMAGE, OSError):
        return None
