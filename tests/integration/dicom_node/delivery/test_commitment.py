from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from dicom_node.delivery.storage_commitment import (
    CLASS_INSTANCE_CONFLICT,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    examine,
    read_report,
    report_dataset,
    request_dataset,
)
from pydicom import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.presentation import build_context

from dicom_node.delivery.commitment_reports import CommitmentReporter
from dicom_node.journal.journal import Journal
from dicom_node.network.scu import PacsClient
from dicom_node.network.status import COMMITMENT, COMMITMENT_INSTANCE
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.spool import Spool
from tests.conftest import CLOSES_ITS_SOCKET

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
WriteCt = Callable[..., list[Path]]


class OpenDoor(Protocol):
    node: NodeSettings
    port: int
    journal: Journal
    spool: Spool


OpenDoorWith = Callable[..., OpenDoor]


class Asker:
    """A peer that sends series, asks for their commitment, and listens for the reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, Dataset]] = []
        self.arrived = threading.Event()
        self.answer = 0x0000
        self._ae = AE("SENDER")
        self._ae.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
        handlers: list[evt.EventHandlerType] = [CLOSES_ITS_SOCKET, (evt.EVT_N_EVENT_REPORT, self._take)]
        server = self._ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        assert server is not None
        self.port = server.server_address[1]

    def _take(self, event: evt.Event) -> tuple[int, None]:
        self.reports.append((event.event_type or 0, event.event_information))
        self.arrived.set()
        return self.answer, None

    def close(self) -> None:
        self._ae.shutdown()

    def ask(self, door: OpenDoor, request: Dataset | None, calling: str = "SENDER") -> int:
        ae = AE(calling)
        visit = ae.associate(
            "127.0.0.1", door.port, [build_context(COMMITMENT)], "LUNGNODE", evt_handlers=[CLOSES_ITS_SOCKET]
        )
        status, _ = visit.send_n_action(request, 1, COMMITMENT, COMMITMENT_INSTANCE)
        visit.release()
        return int(status.Status)


@pytest.fixture
def asker() -> Iterator[Asker]:
    asker = Asker()
    yield asker
    asker.close()


@pytest.fixture
def asking_peer(asker: Asker) -> Peer:
    return Peer(name="sender", ae_title="SENDER", host="127.0.0.1", port=asker.port, may_send=True)


@pytest.fixture
def door(open_door: OpenDoorWith, asking_peer: Peer) -> OpenDoor:
    return open_door(asking_peer, retry_backoff_s=10.0)


@pytest.fixture
def filled(door: OpenDoor, write_ct: WriteCt) -> OpenDoor:
    peer = Peer(name="node", ae_title="LUNGNODE", host="127.0.0.1", port=door.port)
    assert all(o.refusal is None for o in PacsClient(peer, NodeSettings(ae_title="SENDER")).store(write_ct(3)))
    return door


def keeper(door: OpenDoor, peer: Peer) -> CommitmentReporter:
    clients = {peer.name: PacsClient(peer, door.node)}
    return CommitmentReporter(node=door.node, clients=clients, journal=door.journal, spool=door.spool)


def request(*uids: str, transaction_uid: str = "2.25.7", sop_class: str = CT) -> Dataset:
    return request_dataset(transaction_uid, [(sop_class, uid) for uid in uids])


# -- we are SCP: somebody asks us for commitment of what we received --


def test_what_is_held_is_committed_on_an_association_of_our_own(
    filled: OpenDoor, asker: Asker, asking_peer: Peer
) -> None:
    assert asker.ask(filled, request("1.2.3.1", "1.2.3.2", "1.2.3.3")) == 0x0000
    keeper(filled, asking_peer).step(4e9)

    ((event_type, report),) = asker.reports
    assert (event_type, report.TransactionUID) == (1, "2.25.7")
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    assert "FailedSOPSequence" not in report


def test_what_is_not_held_fails_with_the_reason_of_the_standard(
    filled: OpenDoor, asker: Asker, asking_peer: Peer
) -> None:
    filled.spool.instance_path("1.2.3", "1.2.3.2").unlink()
    with filled.spool.instance_path("1.2.3", "1.2.3.3").open("r+b") as damaged:
        damaged.seek(-10, 2)
        damaged.write(b"\0" * 10)

    asker.ask(filled, request("1.2.3.1", "1.2.3.2", "1.2.3.3", "1.2.3.4"))
    keeper(filled, asking_peer).step(4e9)

    ((event_type, report),) = asker.reports
    assert event_type == 2
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == ["1.2.3.1"]
    assert {item.ReferencedSOPInstanceUID: item.FailureReason for item in report.FailedSOPSequence} == {
        "1.2.3.2": NO_SUCH_INSTANCE,
        "1.2.3.3": PROCESSING_FAILURE,
        "1.2.3.4": NO_SUCH_INSTANCE,
    }


def test_an_instance_named_with_another_sop_class_conflicts(filled: OpenDoor) -> None:
    assert examine([(MR, "1.2.3.1")], filled.journal, filled.spool) == {(MR, "1.2.3.1"): CLASS_INSTANCE_CONFLICT}


def test_a_transaction_uid_that_is_used_again_is_refused(filled: OpenDoor, asker: Asker, asking_peer: Peer) -> None:
    assert asker.ask(filled, request("1.2.3.1")) == 0x0000
    assert asker.ask(filled, request("1.2.3.2")) == 0x0131
    keeper(filled, asking_peer).step(4e9)
    assert asker.ask(filled, request("1.2.3.2")) == 0x0131

    assert len(asker.reports) == 1


def test_a_request_without_references_or_with_a_false_uid_is_refused(door: OpenDoor, asker: Asker) -> None:
    empty = Dataset()
    empty.TransactionUID = "2.25.8"
    path = request("1.2.3.1")
    path.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3"
    path.ReferencedSOPSequence[0]["ReferencedSOPInstanceUID"]._value = "../../etc"

    assert asker.ask(door, empty) == 0x0212
    assert asker.ask(door, path) in {0x0212, 0x0110}  # as strict as pydicom is told to be
    assert door.journal.due_requests(4e9) == []


def test_only_a_peer_that_may_send_may_ask(open_door: OpenDoorWith, asker: Asker) -> None:
    door = open_door(Peer(name="pacs", ae_title="SENDER", host="127.0.0.1", port=1, storage_commitment=True))

    assert asker.ask(door, request("1.2.3.1")) == 0x0124


def test_a_report_that_cannot_be_told_is_tried_again_and_given_up_loudly(
    filled: OpenDoor, asker: Asker, asking_peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    asker.ask(filled, request("1.2.3.1"))
    asker.answer = 0x0110
    keeps = keeper(filled, asking_peer)

    keeps.step(4e9)
    (commitment_request,) = filled.journal.due_requests(4e9)
    assert commitment_request.attempts == 1
    for _ in range(20):
        keeps.step(4e9)

    assert filled.journal.due_requests(4e9) == []
    assert len(asker.reports) == 12
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == ["transaction 2.25.7: sender was never told: N-EVENT-REPORT: status 0x0110"]


def test_a_promise_to_a_peer_that_is_gone_from_the_settings_is_given_up(filled: OpenDoor, asker: Asker) -> None:
    asker.ask(filled, request("1.2.3.1"))

    CommitmentReporter(node=filled.node, clients={}, journal=filled.journal, spool=filled.spool).step(4e9)

    assert filled.journal.due_requests(4e9) == []


# -- we are SCU: the report that comes on an association of the peer's --


def report_to(door: OpenDoor, report: Dataset, calling: str) -> int:
    """N-EVENT-REPORT as Orthanc and dcm4chee do it: the requestor proposes to be SCP."""
    ae = AE(calling)
    role = build_role(COMMITMENT, scp_role=True)
    visit = ae.associate(
        "127.0.0.1",
        door.port,
        [build_context(COMMITMENT)],
        "LUNGNODE",
        ext_neg=[role],
        evt_handlers=[CLOSES_ITS_SOCKET],
    )
    (accepted,) = visit.accepted_contexts
    assert accepted.as_scp
    status, _ = visit.send_n_event_report(report, 1, COMMITMENT, COMMITMENT_INSTANCE)
    visit.release()
    return int(status.Status)


@pytest.fixture
def pacs_door(open_door: OpenDoorWith) -> OpenDoor:
    pacs = Peer(name="pacs", ae_title="PACS", host="127.0.0.1", port=1, send_results=True, storage_commitment=True)
    other = Peer(name="other", ae_title="OTHER", host="127.0.0.1", port=1, storage_commitment=True)
    viewer = Peer(name="viewer", ae_title="VIEWER", host="127.0.0.1", port=1, may_send=True)
    return open_door(pacs, other, viewer)


def report(transaction_uid: str = "2.25.7") -> Dataset:
    return report_dataset(transaction_uid, {(CT, "2.25.1"): None})[1]


def test_a_report_for_an_open_transaction_is_taken_once_and_its_repetition_is_answered_too(
    pacs_door: OpenDoor,
) -> None:
    pacs_door.journal.open_transaction("2.25.7", "pacs", [], due_at=4e9)

    assert report_to(pacs_door, report(), "PACS") == 0x0000
    closed = pacs_door.journal.transaction("2.25.7")
    assert closed is not None
    assert not closed.open
    assert report_to(pacs_door, report(), "PACS") == 0x0000


def test_a_report_for_a_transaction_that_nobody_opened_is_refused(pacs_door: OpenDoor) -> None:
    assert report_to(pacs_door, report("2.25.99"), "PACS") == 0x0115


@pytest.mark.parametrize("calling", ["OTHER", "VIEWER"])
def test_a_report_by_another_peer_than_was_asked_changes_nothing(pacs_door: OpenDoor, calling: str) -> None:
    pacs_door.journal.open_transaction("2.25.7", "pacs", [], due_at=4e9)

    assert report_to(pacs_door, report(), calling) == 0x0115

    still = pacs_door.journal.transaction("2.25.7")
    assert still is not None
    assert still.open


def test_a_report_without_its_transaction_is_refused(pacs_door: OpenDoor) -> None:
    broken = report()
    del broken.TransactionUID

    assert report_to(pacs_door, broken, "PACS") == 0x0212


def test_a_report_is_read_as_it_was_written() -> None:
    _, written = report_dataset("2.25.7", {(CT, "1.1"): None, (CT, "1.2"): NO_SUCH_INSTANCE})

    read = read_report(written)

    assert read.committed == {"1.1"}
    assert read.failed == {"1.2": "commitment failed, reason 0x0112"}
