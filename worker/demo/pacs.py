"""A small PACS for the demo and the tests: C-ECHO, C-STORE, C-FIND, C-MOVE, C-GET and Storage Commitment SCP."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from dicom_node.identifiers import (
    COMMITMENT,
    COMMITMENT_INSTANCE,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)
from dicom_node.network.association import NodeAE, on_connected
from worker.demo.archive import UNIQUE_KEYS, Archive

SUCCESS, PENDING = 0x0000, 0xFF00
IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS = 0xA900
TIMEOUT_S = 30.0
PROCESSING_FAILURE, NO_SUCH_OBJECT_INSTANCE = 0x0110, 0x0112

Address = tuple[str, int]

_ON_CONNECTED: list[Any] = [(evt.EVT_CONN_OPEN, on_connected, [TIMEOUT_S])]


@dataclass(kw_only=True)
class Behaviour:
    """Behaviour of the PACS towards its peers; may be changed while it runs."""

    delay_s: float = 0.0
    """Pause before each C-STORE response."""
    store_status: int = SUCCESS
    """Status of each C-STORE response; with a failure status nothing is stored."""
    refused_instances: frozenset[str] = frozenset()
    """SOP Instance UIDs whose C-STORE is answered with 0xC000 (cannot understand)."""
    report_on_same_association: bool = False
    report_delay_s: float = 0.05
    sends_no_report: bool = False
    """Storage commitment requests are accepted, and no report is sent."""
    find_delay_s: float = 0.0
    """Pause before each C-FIND response."""
    unanswered_keys: frozenset[str] = frozenset()
    """Return keys that C-FIND responses leave empty, as many PACS do with optional keys."""
    fraction_sent: float = 1.0
    """Fraction of the matching instances that a C-MOVE or C-GET sends and counts."""
    sub_operation_delay_s: float = 0.0
    """Pause before each instance that a C-MOVE or C-GET sends."""
    uncommitted: frozenset[str] = frozenset()
    """SOP Instance UIDs whose storage commitment fails, stored or not."""


@dataclass(kw_only=True)
class SmallPacs:
    """A PACS on one port. Call `start` and `stop`, or use it in a `with` statement."""

    folder: Path
    ae_title: str = "SMALLPACS"
    host: str = "127.0.0.1"
    port: int = 0
    """0: any free port; `start` sets the actual one."""
    peers: Mapping[str, Address] = field(default_factory=dict)
    """Host and port by AE title, for C-MOVE and storage commitment reports."""
    behaviour: Behaviour = field(default_factory=Behaviour)
    commitment_requests: list[str] = field(default_factory=list)
    """The Transaction UIDs received, in order."""

    def __post_init__(self) -> None:
        self.archive = Archive(self.folder)
        self._ae = NodeAE(ae_title=self.ae_title)
        self._ae.maximum_associations = 30
        self._ae.require_called_aet = True
        for context in AllStoragePresentationContexts:
            self._ae.add_supported_context(
                str(context.abstract_syntax), ALL_TRANSFER_SYNTAXES, scu_role=True, scp_role=True
            )
        for sop_class in (VERIFICATION, COMMITMENT, STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET):
            self._ae.add_supported_context(sop_class)

    def __enter__(self) -> SmallPacs:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start to listen and return at once."""
        handlers: list[Any] = [
            *_ON_CONNECTED,
            (evt.EVT_C_ECHO, lambda _: SUCCESS),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_C_FIND, self._on_find),
            (evt.EVT_C_MOVE, self._on_move),
            (evt.EVT_C_GET, self._on_get),
            (evt.EVT_N_ACTION, self._on_commitment_request),
        ]
        server = self._ae.start_server((self.host, self.port), block=False, evt_handlers=handlers)
        assert server is not None  # noqa: S101 (block=False always returns the server)
        self.port = server.server_address[1]

    def stop(self) -> None:
        """Wait up to 1 s for associations to end, abort the rest, and close the port."""
        # pynetdicom fails if an association that is being rejected is aborted as well.
        deadline = time.monotonic() + 1.0
        while self._ae.active_associations and time.monotonic() < deadline:
            time.sleep(0.01)
        self._ae.shutdown()

    def stored(self, sop_class_uid: str | None = None) -> list[Path]:
        """Return the stored files, of one SOP class if it is given."""
        headers = self.archive.headers()
        return [self.archive.path(h.SOPInstanceUID) for h in headers if sop_class_uid in {None, h.SOPClassUID}]

    def _on_store(self, event: evt.Event) -> int:
        time.sleep(self.behaviour.delay_s)
        request: Any = event.request
        uid = str(request.AffectedSOPInstanceUID)
        if uid in self.behaviour.refused_instances:
            return 0xC000
        if self.behaviour.store_status in {SUCCESS, 0xB000, 0xB006, 0xB007}:
            self.archive.add(uid, event.encoded_dataset())
        return self.behaviour.store_status

    def _on_find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        if event.identifier.get("QueryRetrieveLevel") not in UNIQUE_KEYS:
            yield IDENTIFIER_DOES_NOT_MATCH_SOP_CLASS, None
            return
        for response in self.archive.find(event.identifier):
            time.sleep(self.behaviour.find_delay_s)
            response.RetrieveAETitle = self.ae_title
            for keyword in self.behaviour.unanswered_keys.intersection(response.dir()):
                setattr(response, keyword, None)
            yield PENDING, response

    def _on_move(self, event: evt.Event) -> Iterator[Any]:
        address = self.peers.get(str(event.move_destination))
        if address is None:
            yield None, None  # PS3.4 C.4.2: 0xA801, move destination unknown
            return
        files = self._selected(event.identifier)
        yield (*address, {"contexts": _contexts(files), "evt_handlers": _ON_CONNECTED})
        yield from self._sub_operations(files)

    def _on_get(self, event: evt.Event) -> Iterator[Any]:
        yield from self._sub_operations(self._selected(event.identifier))

    def _selected(self, identifier: Dataset) -> list[Path]:
        files = self.archive.select(identifier)
        return files[: round(len(files) * self.behaviour.fraction_sent)]

    def _sub_operations(self, files: list[Path]) -> Iterator[Any]:
        yield len(files)
        for file in files:
            time.sleep(self.behaviour.sub_operation_delay_s)
            yield PENDING, dcmread(file)

    def _on_commitment_request(self, event: evt.Event) -> tuple[int, None]:
        request = event.action_information
        self.commitment_requests.append(str(request.TransactionUID))
        calling = event.assoc.requestor.ae_title
        if calling not in self.peers and not self.behaviour.report_on_same_association:
            return PROCESSING_FAILURE, None
        if not self.behaviour.sends_no_report:
            report = functools.partial(self._report, request, calling, event.assoc)
            threading.Timer(self.behaviour.report_delay_s, report).start()
        return SUCCESS, None

    def _report(self, request: Dataset, calling: str, association: Association) -> None:
        report = self._commit(request)
        if self.behaviour.report_on_same_association:
            if association.is_established:
                _send_report(association, report)
            return
        # PS3.4 J.3.3: on a new association the SCP negotiates its role; by default the requestor is the SCU.
        role = build_role(COMMITMENT, scp_role=True)
        host, port = self.peers[calling]
        contexts = [build_context(COMMITMENT)]
        association = self._ae.associate(
            host, port, contexts, ae_title=calling, ext_neg=[role], evt_handlers=_ON_CONNECTED
        )
        if association.is_established:
            _send_report(association, report)
            association.release()

    def _commit(self, request: Dataset) -> Dataset:
        stored = {header.SOPInstanceUID for header in self.archive.headers()} - self.behaviour.uncommitted
        report = Dataset()
        report.TransactionUID = request.TransactionUID
        items = request.ReferencedSOPSequence
        report.ReferencedSOPSequence = [item for item in items if item.ReferencedSOPInstanceUID in stored]
        failed = [item for item in items if item.ReferencedSOPInstanceUID not in stored]
        for item in failed:
            item.FailureReason = NO_SUCH_OBJECT_INSTANCE
        if failed:
            report.FailedSOPSequence = failed
        if not report.ReferencedSOPSequence:
            del report.ReferencedSOPSequence
        return report


def _send_report(association: Association, report: Dataset) -> None:
    # PS3.4 J.3.3.1.1: event type 1 is complete success, 2 means that failures exist.
    event_type = 2 if "FailedSOPSequence" in report else 1
    association.send_n_event_report(report, event_type, COMMITMENT, COMMITMENT_INSTANCE)


def _contexts(files: list[Path]) -> list[Any]:
    metas = [dcmread(file, stop_before_pixels=True).file_meta for file in files]
    syntaxes = {(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID) for meta in metas}
    return [build_context(sop_class, syntax) for sop_class, syntax in sorted(syntaxes)]
