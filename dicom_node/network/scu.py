"""The node as a client of a PACS: echo, store, find, retrieve, commitment. Reads every status, never waits for ever."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, ImplicitVRLittleEndian
from pynetdicom import build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context

from dicom_node.delivery.commitment import REQUEST_COMMITMENT, CommitmentReport, read_report, request_dataset
from dicom_node.errors import NodeError, PacsRefused, PacsUnavailable, UnreadableInstance
from dicom_node.journal.commitments import Reference
from dicom_node.network.association import AssociationRequestor, NoAcceptedContext
from dicom_node.network.status import (
    COMMITMENT,
    COMMITMENT_INSTANCE,
    COMPRESSED,
    PROCESSING_FAILURE,
    RESOURCE_LIMITATION,
    SOP_CLASS_NOT_SUPPORTED,
    SUCCESS,
    VERIFICATION,
)
from dicom_node.settings import NodeSettings, Peer

STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
STORED = frozenset({SUCCESS, 0xB000, 0xB006, 0xB007})
"""PS3.4 table B.2-1: the object is stored; with a warning, elements were coerced or did not match."""
TRY_AGAIN = frozenset({*range(0xA700, 0xA800), PROCESSING_FAILURE, RESOURCE_LIMITATION})
"""The peer cannot take the document now; any other failure is its last word."""
RETRIEVED = frozenset({SUCCESS, 0xB000})
"""PS3.4 tables C.4-2 and C.4-3; 0xB000: some sub-operations failed."""
MOST_CONTEXTS = 128
"""PS3.8 9.3.2.2: presentation context IDs are the odd numbers to 255."""
_SLOWEST_BYTES_PER_S = 100_000

OnReport = Callable[[CommitmentReport], int]
"""Takes a report in, and returns the status to answer."""
Keep = Callable[[str, bytes], None]
"""Takes the SOP instance UID and the DICOM file of something that was retrieved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOutcome:
    """One file that a peer was given; `refusal` says why it will not take it."""

    path: Path
    sop_instance_uid: str
    refusal: NodeError | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """What became of the instances that a C-MOVE or C-GET asked for."""

    completed: int
    failed: int


class PacsClient:
    """Speaks with one peer, an association for each call."""

    def __init__(self, peer: Peer, node: NodeSettings) -> None:
        self.peer = peer
        self._node = node
        self._caller = AssociationRequestor(peer, node)

    def abort(self) -> None:
        """End the call that another thread is in, at once; it raises PacsUnavailable there."""
        self._caller.abort()

    def echo(self) -> None:
        """C-ECHO. Raises PacsUnavailable."""
        with self._association([build_context(VERIFICATION)]) as association:
            self._require(association.send_c_echo(), "C-ECHO")

    def store(self, paths: Sequence[Path]) -> Iterator[StoreOutcome]:
        """C-STORE each file, over one association, and yield its outcome as it is known.

        Raises PacsUnavailable when the peer cannot take (more) now; what was yielded before is stored or refused.
        """
        kinds = {path: _kind(path) for path in paths}
        readable = [path for path, kind in kinds.items() if kind is not None]
        for path in kinds.keys() - readable:
            refusal = UnreadableInstance("the file cannot be read, or is not DICOM")
            yield StoreOutcome(path=path, sop_instance_uid="", refusal=refusal)
        if not readable:
            return
        try:
            with self._association(_contexts_for([kind for kind in kinds.values() if kind])) as association:
                for path in readable:
                    yield self._store_one(association, path)
        except NoAcceptedContext:
            yield from (_refused(path, SOP_CLASS_NOT_SUPPORTED) for path in readable)

    def find(self, query: Dataset) -> list[Dataset]:
        """C-FIND in the study root model. Raises PacsUnavailable."""
        with self._association([build_context(STUDY_ROOT_FIND)]) as association:
            answers = list(association.send_c_find(query, STUDY_ROOT_FIND))
            self._require(answers[-1][0], "C-FIND")
            return [found for _, found in answers if found is not None]

    def move(self, query: Dataset, destination_ae_title: str) -> Retrieval:
        """C-MOVE in the study root model. Raises PacsUnavailable."""
        with self._association([build_context(STUDY_ROOT_MOVE)]) as association:
            answers = association.send_c_move(query, destination_ae_title, STUDY_ROOT_MOVE)
            return self._retrieval([status for status, _ in answers], "C-MOVE")

    def get(self, query: Dataset, sop_class_uids: Iterable[str], keep: Keep) -> Retrieval:
        """C-GET in the study root model, of these SOP classes only. Raises PacsUnavailable."""
        classes = list(sop_class_uids)
        # Of the transfer syntaxes in one context the peer would choose one: what is compressed needs its own.
        native = [build_context(sop_class) for sop_class in classes]
        compressed = [build_context(sop_class, syntax) for sop_class in classes for syntax in COMPRESSED]
        contexts = [build_context(STUDY_ROOT_GET), *native, *compressed][:MOST_CONTEXTS]
        # PS3.4 C.5.3: for what comes back we are the SCP, which the requestor must propose.
        roles = [build_role(sop_class, scp_role=True) for sop_class in classes]
        handlers: list[evt.EventHandlerType] = [(evt.EVT_C_STORE, functools.partial(_on_store, keep=keep))]
        with self._association(contexts, handlers, roles) as association:
            answers = association.send_c_get(query, STUDY_ROOT_GET)
            return self._retrieval([status for status, _ in answers], "C-GET")

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
        with self._association([build_context(COMMITMENT)], handlers) as association:
            request = request_dataset(transaction_uid, references)
            status, _ = association.send_n_action(request, REQUEST_COMMITMENT, COMMITMENT, COMMITMENT_INSTANCE)
            self._require(status, "N-ACTION")
            until = time.monotonic() + self._node.commitment_wait_s
            while time.monotonic() < until and association.is_established and not is_answered():
                time.sleep(0.05)

    def report_commitment(self, event_type: int, report: Dataset) -> None:
        """Report what became of the peer's own request (N-EVENT-REPORT), as SCP. Raises PacsUnavailable."""
        # PS3.4 J.3.3: without proposing its role the requestor would be taken for the SCU.
        role = build_role(COMMITMENT, scp_role=True)
        with self._association([build_context(COMMITMENT)], roles=[role]) as association:
            status, _ = association.send_n_event_report(report, event_type, COMMITMENT, COMMITMENT_INSTANCE)
            self._require(status, "N-EVENT-REPORT")

    def _store_one(self, association: Association, path: Path) -> StoreOutcome:
        document = dcmread(path)
        association.dimse_timeout = self._node.network_timeout_s + path.stat().st_size / _SLOWEST_BYTES_PER_S
        try:
            answer = association.send_c_store(document)
        except ValueError:  # no presentation context was accepted for it
            return _refused(path, SOP_CLASS_NOT_SUPPORTED)
        if "Status" in answer and answer.Status not in STORED | TRY_AGAIN:
            return _refused(path, int(answer.Status))
        self._require(answer, "C-STORE", STORED)
        return StoreOutcome(path=path, sop_instance_uid=str(document.SOPInstanceUID), refusal=None)

    def _retrieval(self, statuses: list[Dataset], what: str) -> Retrieval:
        self._require(statuses[-1], what, RETRIEVED)
        return Retrieval(
            completed=int(statuses[-1].get("NumberOfCompletedSuboperations") or 0),
            failed=int(statuses[-1].get("NumberOfFailedSuboperations") or 0),
        )

    def _association(
        self,
        contexts: list[PresentationContext],
        handlers: Sequence[evt.EventHandlerType] = (),
        roles: Sequence[object] = (),
    ) -> AbstractContextManager[Association]:
        return self._caller.association(contexts, handlers, roles)

    def _require(self, answer: Dataset, what: str, wanted: frozenset[int] = frozenset({SUCCESS})) -> None:
        if "Status" not in answer:
            raise PacsUnavailable(self.peer.name, f"{what}: no answer in time, or the association was aborted")
        if answer.Status not in wanted:
            raise PacsUnavailable(self.peer.name, f"{what}: status 0x{answer.Status:04X}", int(answer.Status))


def _on_report(event: evt.Event, on_report: OnReport) -> tuple[int, None]:
    return on_report(read_report(event.event_information)), None


def _on_store(event: evt.Event, keep: Keep) -> int:
    keep(str(event.request.AffectedSOPInstanceUID), event.encoded_dataset())  # type: ignore[union-attr]
    return SUCCESS


def _refused(path: Path, status: int) -> StoreOutcome:
    uid = str(dcmread(path, specific_tags=["SOPInstanceUID"], stop_before_pixels=True).SOPInstanceUID)
    return StoreOutcome(path=path, sop_instance_uid=uid, refusal=PacsRefused(uid, status))


def _kind(path: Path) -> tuple[str, str] | None:
    """Return the kind of a file, its SOP class and transfer syntax; None when it has none."""
    try:
        header = dcmread(path, specific_tags=["SOPClassUID", "SOPInstanceUID"], stop_before_pixels=True)
        return str(header.SOPClassUID), str(header.file_meta.TransferSyntaxUID)
    except (InvalidDicomError, AttributeError, OSError):
        return None


def _contexts_for(kinds: Iterable[tuple[str, str]]) -> list[PresentationContext]:
    """Return one presentation context for each kind of file, so that it goes as it is if the peer can take it so.

    What is not compressed may also go as implicit VR, which everyone must know (PS3.5 10.1).
    """
    as_they_are = set(kinds)
    native = {(sop_class, ImplicitVRLittleEndian) for sop_class, syntax in as_they_are if not UID(syntax).is_compressed}
    wanted = sorted(as_they_are) + sorted(native - as_they_are)
    return [build_context(sop_class, syntax) for sop_class, syntax in wanted[:MOST_CONTEXTS]]
