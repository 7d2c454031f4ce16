"""A small PACS in this process that misbehaves as it is told, and remembers every document that it stored."""

from __future__ import annotations

import itertools
import socket
import threading
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, build_role, evt
from pynetdicom.presentation import build_context

from dicom_node.identifiers import COMMITMENT, COMMITMENT_INSTANCE, RESULTS, VERIFICATION
from tests.faults.plan import Kind

AE_TITLE, NODE = "PACS", "LUNGNODE"
_STATUS = {Kind.PACS_A700: 0xA700, Kind.PACS_C000: 0xC000, Kind.PACS_0112: 0x0112}
_REPORT_AFTER_S = 0.05
_SILENCE_S = 8.0
_TIMEOUT_S = 3.0
_NOT_STORED = 0x0112


class FaultyPacs:
    """Storage and Storage Commitment SCP. `fault` may be changed while it runs; None: it behaves well."""

    def __init__(self, node_port: int) -> None:
        self.fault: Kind | None = None
        self.stored: dict[str, list[bytes]] = defaultdict(list)
        """Files by SOP Instance UID, one for every time that it was stored."""
        self._node_port = node_port
        self._turns = itertools.count()
        self._over = threading.Event()
        self._ae = AE(ae_title=AE_TITLE)
        self._ae.maximum_associations = 50
        self._ae.network_timeout = self._ae.dimse_timeout = self._ae.acse_timeout = _TIMEOUT_S
        for sop_class in (*RESULTS, VERIFICATION, COMMITMENT):
            self._ae.add_supported_context(sop_class, ALL_TRANSFER_SYNTAXES, scu_role=True, scp_role=True)

    def start(self, port: int) -> None:
        """Listen on a port."""
        handlers: list[Any] = [
            (evt.EVT_CONN_OPEN, without_delay),
            (evt.EVT_C_ECHO, lambda _: 0x0000),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_N_ACTION, self._on_request),
        ]
        self._ae.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)

    def stop(self) -> None:
        """End all associations, and close the port."""
        self.behave()
        self._ae.shutdown()

    def misbehave(self, fault: Kind) -> None:
        """Begin with a fault."""
        self._over.clear()
        self.fault = fault
        self._ae.require_calling_aet = ["NOBODY"] if fault is Kind.PACS_REJECTS else []

    def behave(self) -> None:
        """End the fault."""
        self.fault = None
        self._ae.require_calling_aet = []
        self._over.set()

    def _on_store(self, event: evt.Event) -> int:
        fault = self.fault
        if fault in _STATUS:
            return _STATUS[fault]
        is_interrupted = fault in (Kind.PACS_ABORTS, Kind.PACS_SILENT)
        # Of two interrupted ones, the first is stored all the same: only its answer is lost.
        if not is_interrupted or next(self._turns) % 2 == 0:
            request: Any = event.request
            self.stored[str(request.AffectedSOPInstanceUID)].append(event.encoded_dataset())
        if fault is Kind.PACS_SILENT:
            self._over.wait(_SILENCE_S)
        if is_interrupted:
            event.assoc.abort()
        return 0x0000

    def _on_request(self, event: evt.Event) -> tuple[int, None]:
        fault, request = self.fault, event.action_information
        if fault is not Kind.REPORT_NEVER:
            for report in self._reports(fault, request):
                threading.Timer(_REPORT_AFTER_S, partial(self._send, report)).start()
        return 0x0000, None

    def _reports(self, fault: Kind | None, request: Dataset) -> list[Dataset]:
        right = _report(request.TransactionUID, request.ReferencedSOPSequence, self.stored)
        if fault is Kind.REPORT_TWICE:
            return [right, right]
        if fault is Kind.REPORT_FAILED:
            return [_report(request.TransactionUID, request.ReferencedSOPSequence, {})]
        if fault is Kind.REPORT_WRONG:
            other_transaction = _report(generate_uid(), request.ReferencedSOPSequence, self.stored)
            other_instances = _report(request.TransactionUID, [_item(RESULTS[0], generate_uid())], None)
            return [(other_transaction, other_instances)[next(self._turns) % 2]]
        return [right]

    def _send(self, report: Dataset) -> None:
        # PS3.4 J.3.3: on a new association the SCP negotiates its role.
        association = self._ae.associate(
            "127.0.0.1",
            self._node_port,
            [build_context(COMMITMENT)],
            ae_title=NODE,
            ext_neg=[build_role(COMMITMENT, scp_role=True)],
            evt_handlers=[(evt.EVT_CONN_OPEN, without_delay)],
        )
        if association.is_established:
            event_type = 2 if "FailedSOPSequence" in report else 1  # PS3.4 J.3.3.1.1
            association.send_n_event_report(report, event_type, COMMITMENT, COMMITMENT_INSTANCE)
            association.release()

    def documents_of(self, series_uid: str) -> dict[str, list[Dataset]]:
        """Return the stored documents on a CT series by SOP Instance UID, one for every time that each was stored."""
        found: dict[str, list[Dataset]] = {}
        for uid, files in list(self.stored.items()):
            read: list[Dataset] = [dcmread(BytesIO(file)) for file in files]
            if read[0].StudyInstanceUID == f"{series_uid}.0":  # small_site.chest: a study for every series
                found[uid] = read
        return found


def without_delay(event: evt.Event) -> None:
    """Send small responses at once (TCP_NODELAY)."""
    connection = event.assoc.dul.socket
    if connection is not None and connection.socket is not None:
        connection.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _report(transaction_uid: str, items: Sequence[Dataset], stored: dict[str, list[bytes]] | None) -> Dataset:
    """Return a report; `stored` is what can be committed, None: everything."""
    report = Dataset()
    report.TransactionUID = transaction_uid
    committed = [item for item in items if stored is None or str(item.ReferencedSOPInstanceUID) in stored]
    failed = [_item(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in items]
    failed = [item for item in failed if stored is not None and str(item.ReferencedSOPInstanceUID) not in stored]
    for item in failed:
        item.FailureReason = _NOT_STORED
    if committed:
        report.ReferencedSOPSequence = committed
    if failed:
        report.FailedSOPSequence = failed
    return report


def _item(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item
