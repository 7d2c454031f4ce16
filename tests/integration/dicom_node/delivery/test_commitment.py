from __future__ import annotations

import hashlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from pydicom import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.presentation import build_context

from dicom_node.delivery import commitment
from dicom_node.delivery.commitment import (
    CLASS_INSTANCE_CONFLICT,
    NO_SUCH_INSTANCE,
    PROCESSING_FAILURE,
    VerifiedFiles,
    read_report,
    report_dataset,
    request_dataset,
    verify_references,
)
from dicom_node.delivery.commitment_reports import CommitmentReporter
from dicom_node.identifiers import COMMITMENT, COMMITMENT_INSTANCE
from dicom_node.journal.journal import Journal
from dicom_node.network import scp as scp_module
from dicom_node.network.scu import PacsClient
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.spool import Spool
from tests.conftest import CLOSES_ITS_SOCKET
from tests.fixtures.ports import free_port

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
WriteCt = Callable[..., list[Path]]


class RunningScp(Protocol):
    node: NodeSettings
    port: int
    journal: Journal
    spool: Spool


StartScp = Callable[..., RunningScp]


class CommitmentScu:
    """A peer that requests storage commitment and receives the reports."""

    def __init__(self) -> None:
        self.reports: list[tuple[int, Dataset]] = []
        self.received = threading.Event()
        self.answer = 0x0000
        self.refused = ""
        """The Transaction UID of a report that is answered with a failure."""
        self.associations = 0
        self._ae = AE("SENDER")
        self._ae.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
        handlers: list[evt.EventHandlerType] = [
            CLOSES_ITS_SOCKET,
            (evt.EVT_ACCEPTED, self._on_accepted),
            (evt.EVT_N_EVENT_REPORT, self._on_report),
        ]
        server = self._ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        assert server is not None
        self.port = server.server_address[1]

    def _on_accepted(self, _: evt.Event) -> None:
        self.associations += 1

    def _on_report(self, event: evt.Event) -> tuple[int, None]:
        self.reports.append((event.event_type or 0, event.event_information))
        self.received.set()
        is_refused = event.event_information.TransactionUID == self.refused
        return 0x0110 if is_refused else self.answer, None

    def close(self) -> None:
        self._ae.shutdown()

    def request_commitment(self, scp: RunningScp, request: Dataset | None, calling: str = "SENDER") -> int:
        ae = AE(calling)
        assoc = ae.associate(
            "127.0.0.1", scp.port, [build_context(COMMITMENT)], "LUNGNODE", evt_handlers=[CLOSES_ITS_SOCKET]
        )
        status, _ = assoc.send_n_action(request, 1, COMMITMENT, COMMITMENT_INSTANCE)
        assoc.release()
        return int(status.Status)


@pytest.fixture
def commitment_scu() -> Iterator[CommitmentScu]:
    commitment_scu = CommitmentScu()
    yield commitment_scu
    commitment_scu.close()


@pytest.fixture
def sender_peer(commitment_scu: CommitmentScu) -> Peer:
    return Peer(name="sender", ae_title="SENDER", host="127.0.0.1", port=commitment_scu.port, may_send=True)


@pytest.fixture
def scp(start_scp: StartScp, sender_peer: Peer) -> RunningScp:
    return start_scp(sender_peer, retry_backoff_s=10.0)


@pytest.fixture
def filled(scp: RunningScp, write_ct: WriteCt) -> RunningScp:
    peer = Peer(name="node", ae_title="LUNGNODE", host="127.0.0.1", port=scp.port)
    assert all(o.error is None for o in PacsClient(peer, NodeSettings(ae_title="SENDER")).store(write_ct(3)))
    return scp


def make_reporter(scp: RunningScp, peer: Peer) -> CommitmentReporter:
    client = PacsClient(peer, scp.node)
    return CommitmentReporter(peer=peer, node=scp.node, client=client, journal=scp.journal, spool=scp.spool)


def request(*uids: str, transaction_uid: str = "2.25.7", sop_class: str = CT) -> Dataset:
    return request_dataset(transaction_uid, [(sop_class, uid) for uid in uids])


# -- SCP: a peer requests commitment of received instances --


def test_stored_instances_are_committed_on_a_new_association(
    filled: RunningScp, commitment_scu: CommitmentScu, sender_peer: Peer
) -> None:
    assert commitment_scu.request_commitment(filled, request("1.2.3.1", "1.2.3.2", "1.2.3.3")) == 0x0000
    make_reporter(filled, sender_peer).step(4e9)

    ((event_type, report),) = commitment_scu.reports
    assert (event_type, report.TransactionUID) == (1, "2.25.7")
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == ["1.2.3.1", "1.2.3.2", "1.2.3.3"]
    assert "FailedSOPSequence" not in report


def test_missing_and_damaged_instances_fail_with_the_reasons_of_the_standard(
    filled: RunningScp, commitment_scu: CommitmentScu, sender_peer: Peer
) -> None:
    filled.spool.instance_path("1.2.3", "1.2.3.2").unlink()
    with filled.spool.instance_path("1.2.3", "1.2.3.3").open("r+b") as damaged:
        damaged.seek(-10, 2)
        damaged.write(b"\0" * 10)

    commitment_scu.request_commitment(filled, request("1.2.3.1", "1.2.3.2", "1.2.3.3", "1.2.3.4"))
    make_reporter(filled, sender_peer).step(4e9)

    ((event_type, report),) = commitment_scu.reports
    assert event_type == 2
    assert [item.ReferencedSOPInstanceUID for item in report.ReferencedSOPSequence] == ["1.2.3.1"]
    assert {item.ReferencedSOPInstanceUID: item.FailureReason for item in report.FailedSOPSequence} == {
        "1.2.3.2": NO_SUCH_INSTANCE,
        "1.2.3.3": PROCESSING_FAILURE,
        "1.2.3.4": NO_SUCH_INSTANCE,
    }


def test_an_instance_referenced_with_another_sop_class_conflicts(filled: RunningScp) -> None:
    assert verify_references([(MR, "1.2.3.1")], filled.journal.series, filled.spool, VerifiedFiles()) == {
        (MR, "1.2.3.1"): CLASS_INSTANCE_CONFLICT
    }


def test_a_transaction_uid_that_is_used_again_is_refused(
    filled: RunningScp, commitment_scu: CommitmentScu, sender_peer: Peer
) -> None:
    assert commitment_scu.request_commitment(filled, request("1.2.3.1")) == 0x0000
    assert commitment_scu.request_commitment(filled, request("1.2.3.2")) == 0x0131
    make_reporter(filled, sender_peer).step(4e9)
    assert commitment_scu.request_commitment(filled, request("1.2.3.2")) == 0x0131

    assert len(commitment_scu.reports) == 1


def test_a_request_without_references_or_with_an_invalid_uid_is_refused(
    scp: RunningScp, commitment_scu: CommitmentScu
) -> None:
    empty = Dataset()
    empty.TransactionUID = "2.25.8"
    path = request("1.2.3.1")
    path.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3"
    path.ReferencedSOPSequence[0]["ReferencedSOPInstanceUID"]._value = "../../etc"

    assert commitment_scu.request_commitment(scp, empty) == 0x0212
    assert commitment_scu.request_commitment(scp, path) in {0x0212, 0x0110}  # depends on the validation mode of pydicom
    assert scp.journal.commitments.due(4e9, "sender", 9999) == []


def test_only_a_peer_that_may_send_may_request_commitment(start_scp: StartScp, commitment_scu: CommitmentScu) -> None:
    scp = start_scp(Peer(name="pacs", ae_title="SENDER", host="127.0.0.1", port=1, storage_commitment=True))

    assert commitment_scu.request_commitment(scp, request("1.2.3.1")) == 0x0124


def test_a_report_that_cannot_be_sent_is_retried_and_given_up_with_an_error(
    filled: RunningScp, commitment_scu: CommitmentScu, sender_peer: Peer, caplog: pytest.LogCaptureFixture
) -> None:
    commitment_scu.request_commitment(filled, request("1.2.3.1"))
    commitment_scu.answer = 0x0110
    reporter = make_reporter(filled, sender_peer)

    reporter.step(4e9)
    (commitment_request,) = filled.journal.commitments.due(4e9, "sender", 9999)
    assert commitment_request.attempts == 1
    for _ in range(20):
        reporter.step(4e9)

    assert filled.journal.commitments.due(4e9, "sender", 9999) == []
    assert len(commitment_scu.reports) == 12
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert errors == ["transaction 2.25.7 of sender: report given up: N-EVENT-REPORT: status 0x0110"]


def test_a_commitment_request_of_a_peer_no_longer_configured_is_given_up(
    filled: RunningScp, commitment_scu: CommitmentScu
) -> None:
    commitment_scu.request_commitment(filled, request("1.2.3.1"))

    assert filled.journal.commitments.close_others(["sender"]) == 0
    assert filled.journal.commitments.close_others(["another"]) == 1
    assert filled.journal.commitments.due(4e9, "sender", 9999) == []


# -- many requests --


def add_requests(scp: RunningScp, count: int, peer: str = "sender") -> None:
    for number in range(count):
        scp.journal.commitments.add(f"2.25.{number + 1}", peer, [(CT, "1.2.3.1")], 1.0)


def test_the_reports_of_many_requests_go_over_few_associations(
    filled: RunningScp, commitment_scu: CommitmentScu, sender_peer: Peer
) -> None:
    add_requests(filled, 120)

    make_reporter(filled, sender_peer).step(4e9)

    assert [report.TransactionUID for _, report in commitment_scu.reports] == [f"2.25.{n + 1}" for n in range(120)]
    assert commitment_scu.associations == 3


def test_a_report_that_is_refused_delays_none_after_it(
    filled: RunningScp, commitment_scu: CommitmentScu, sender_peer: Peer
) -> None:
    add_requests(filled, 3)
    commitment_scu.refused = "2.25.2"

    make_reporter(filled, sender_peer).step(4e9)

    assert [report.TransactionUID for _, report in commitment_scu.reports] == ["2.25.1", "2.25.2", "2.25.3"]
    (waiting,) = filled.journal.commitments.due(4e9, "sender", 9999)
    assert (waiting.transaction_uid, waiting.attempts) == ("2.25.2", 1)


def test_a_peer_that_is_away_is_tried_once_for_all_its_reports(filled: RunningScp, sender_peer: Peer) -> None:
    add_requests(filled, 3)

    make_reporter(filled, sender_peer.model_copy(update={"port": free_port()})).step(4e9)

    assert [request.attempts for request in filled.journal.commitments.due(4e9, "sender", 9999)] == [1, 1, 1]


def test_requests_beyond_the_limits_are_answered_with_a_failure(
    filled: RunningScp, commitment_scu: CommitmentScu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commitment, "MAX_REQUESTED", 2)
    monkeypatch.setattr(scp_module, "MAX_OPEN_REQUESTS", 1)

    assert commitment_scu.request_commitment(filled, request("1.2.3.1", "1.2.3.2", "1.2.3.3")) == 0x0213
    assert commitment_scu.request_commitment(filled, request("1.2.3.1", "1.2.3.2")) == 0x0000
    assert commitment_scu.request_commitment(filled, request("1.2.3.1", transaction_uid="2.25.8")) == 0x0213


def test_an_instance_that_is_asked_for_again_is_read_again_only_if_it_has_changed(tmp_path: Path) -> None:
    file, verified = tmp_path / "1.dcm", VerifiedFiles()
    file.write_bytes(b"one")
    sha256 = hashlib.sha256(b"one").hexdigest()
    opened: list[object] = []
    sys.addaudithook(lambda event, args: opened.append(args) if event == "open" and str(args[0]) == str(file) else None)

    assert [verified.is_unchanged(file, sha256) for _ in range(3)] == [True] * 3
    assert len(opened) == 1
    file.write_bytes(b"two, which is longer")
    assert not verified.is_unchanged(file, sha256)
    assert not verified.is_unchanged(file, sha256)


# -- SCU: the report arrives on an association of the peer --


def report_to(scp: RunningScp, report: Dataset, calling: str) -> int:
    """Send N-EVENT-REPORT as Orthanc and dcm4chee do: the requestor proposes the SCP role."""
    ae = AE(calling)
    role = build_role(COMMITMENT, scp_role=True)
    assoc = ae.associate(
        "127.0.0.1",
        scp.port,
        [build_context(COMMITMENT)],
        "LUNGNODE",
        ext_neg=[role],
        evt_handlers=[CLOSES_ITS_SOCKET],
    )
    (accepted,) = assoc.accepted_contexts
    assert accepted.as_scp
    status, _ = assoc.send_n_event_report(report, 1, COMMITMENT, COMMITMENT_INSTANCE)
    assoc.release()
    return int(status.Status)


@pytest.fixture
def pacs_scp(start_scp: StartScp) -> RunningScp:
    pacs = Peer(name="pacs", ae_title="PACS", host="127.0.0.1", port=1, send_results=True, storage_commitment=True)
    other = Peer(name="other", ae_title="OTHER", host="127.0.0.1", port=1, storage_commitment=True)
    viewer = Peer(name="viewer", ae_title="VIEWER", host="127.0.0.1", port=1, may_send=True)
    return start_scp(pacs, other, viewer)


def report(transaction_uid: str = "2.25.7") -> Dataset:
    return report_dataset(transaction_uid, {(CT, "2.25.1"): None})[1]


def test_a_report_is_recorded_once_and_its_repetition_is_answered_with_success(
    pacs_scp: RunningScp,
) -> None:
    pacs_scp.journal.transactions.open("2.25.7", "pacs", [], due_at=4e9)

    assert report_to(pacs_scp, report(), "PACS") == 0x0000
    closed = pacs_scp.journal.transactions.get("2.25.7")
    assert closed is not None
    assert not closed.open
    assert report_to(pacs_scp, report(), "PACS") == 0x0000


def test_a_report_for_an_unknown_transaction_is_refused(pacs_scp: RunningScp) -> None:
    assert report_to(pacs_scp, report("2.25.99"), "PACS") == 0x0115


@pytest.mark.parametrize("calling", ["OTHER", "VIEWER"])
def test_a_report_from_another_peer_changes_nothing(pacs_scp: RunningScp, calling: str) -> None:
    pacs_scp.journal.transactions.open("2.25.7", "pacs", [], due_at=4e9)

    assert report_to(pacs_scp, report(), calling) == 0x0115

    transaction = pacs_scp.journal.transactions.get("2.25.7")
    assert transaction is not None
    assert transaction.open


def test_a_report_without_its_transaction_uid_is_refused(pacs_scp: RunningScp) -> None:
    broken = report()
    del broken.TransactionUID

    assert report_to(pacs_scp, broken, "PACS") == 0x0212


def test_a_report_is_read_as_it_was_written() -> None:
    _, written = report_dataset("2.25.7", {(CT, "1.1"): None, (CT, "1.2"): NO_SUCH_INSTANCE})

    read = read_report(written)

    assert read.committed == {"1.1"}
    assert read.failed == {"1.2": "commitment failed, reason 0x0112"}
