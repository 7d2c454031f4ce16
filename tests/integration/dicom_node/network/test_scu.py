from __future__ import annotations

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset
from pydicom.uid import ImplicitVRLittleEndian, JPEGLSLossless, RLELossless, SegmentationStorage
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_ECHO

from dicom_node.errors import PacsRefused, PacsUnavailable, UnreadableInstance
from dicom_node.network import contexts
from dicom_node.network.scu import PacsClient, StoreOutcome
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.encoded_file import pieces_of
from dicom_node.storage.receiver import ReceivedInstance
from tests.conftest import CLOSES_ITS_SOCKET
from tests.fixtures.ports import is_listening
from tests.fixtures.waiting import wait_until
from worker.demo.pacs import SmallPacs

CT = "1.2.840.10008.5.1.4.1.1.2"
WriteCt = Callable[..., list[Path]]
MakeCt = Callable[..., Dataset]


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[SmallPacs]:
    with SmallPacs(folder=tmp_path / "pacs") as running:
        yield running


def client_of(port: int, ae_title: str = "SMALLPACS", **settings: float) -> PacsClient:
    peer = Peer(name="pacs", ae_title=ae_title, host="127.0.0.1", port=port)
    node = NodeSettings(ae_title="LUNGNODE", connect_timeout_s=2.0, network_timeout_s=2.0)
    return PacsClient(peer, node.model_copy(update=settings))


@pytest.fixture
def client(pacs: SmallPacs) -> PacsClient:
    return client_of(pacs.port)


def refusals(outcomes: list[StoreOutcome]) -> list[str | None]:
    return [None if outcome.error is None else str(outcome.error) for outcome in outcomes]


# -- store --


def test_an_echo_is_answered(client: PacsClient) -> None:
    client.echo()


def test_every_file_is_stored_over_one_association(pacs: SmallPacs, client: PacsClient, write_ct: WriteCt) -> None:
    files = write_ct(5)

    outcomes = list(client.store(files))

    assert refusals(outcomes) == [None] * 5
    assert [outcome.path for outcome in outcomes] == files
    assert [dcmread(file) for file in pacs.stored()] == [dcmread(file) for file in files]


def test_files_of_different_transfer_syntaxes_are_sent_over_one_association(
    pacs: SmallPacs, client: PacsClient, make_ct: MakeCt, write_ct: WriteCt, tmp_path: Path
) -> None:
    files = write_ct(1)
    for number, syntax in ((2, RLELossless), (3, JPEGLSLossless)):
        ct = make_ct(number)
        ct.compress(syntax, generate_instance_uid=False)
        files.append(tmp_path / f"{number}.dcm")
        ct.save_as(files[-1], enforce_file_format=True)

    assert refusals(list(client.store(files))) == [None] * 3

    kept = [dcmread(file).file_meta.TransferSyntaxUID for file in pacs.stored()]
    assert kept == [dcmread(file).file_meta.TransferSyntaxUID for file in files]


def test_nothing_to_store_opens_no_association() -> None:
    assert list(client_of(1).store([])) == []


@pytest.mark.parametrize("status", [0xB000, 0xB006, 0xB007])
def test_a_warning_means_stored(pacs: SmallPacs, client: PacsClient, write_ct: WriteCt, status: int) -> None:
    pacs.behaviour.store_status = status

    assert refusals(list(client.store(write_ct(1)))) == [None]


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0xC123, 0x0122, 0x0124])
def test_a_failure_status_is_final(pacs: SmallPacs, client: PacsClient, write_ct: WriteCt, status: int) -> None:
    pacs.behaviour.store_status = status

    (outcome,) = client.store(write_ct(1))

    assert isinstance(outcome.error, PacsRefused)
    assert (outcome.error.sop_instance_uid, outcome.error.status) == ("1.2.3.1", status)


@pytest.mark.parametrize("status", [0xA700, 0xA7FF, 0x0110, 0x0213])
def test_a_peer_without_space_is_unavailable(
    pacs: SmallPacs, client: PacsClient, write_ct: WriteCt, status: int
) -> None:
    pacs.behaviour.store_status = status

    with pytest.raises(PacsUnavailable, match=f"0x{status:04X}"):
        list(client.store(write_ct(2)))


def test_one_refused_document_does_not_stop_the_others(pacs: SmallPacs, client: PacsClient, write_ct: WriteCt) -> None:
    pacs.behaviour.refused_instances = frozenset({"1.2.3.2"})

    outcomes = list(client.store(write_ct(3)))

    assert refusals(outcomes) == [None, "instance 1.2.3.2: refused with status 0xC000", None]
    assert len(pacs.stored()) == 2


def test_a_file_that_is_not_dicom_is_refused_without_its_name(
    pacs: SmallPacs, client: PacsClient, write_ct: WriteCt, tmp_path: Path
) -> None:
    letter = tmp_path / "letter of SECRET.txt"
    letter.write_text("no DICOM")

    outcomes = list(client.store([letter, *write_ct(1)]))

    assert isinstance(outcomes[0].error, UnreadableInstance)
    assert "SECRET" not in str(outcomes[0].error)
    assert len(pacs.stored()) == 1


def test_a_sop_class_that_the_peer_does_not_support_is_refused(
    start_scp: Callable[..., object], sender: Peer, make_ct: MakeCt, tmp_path: Path, write_ct: WriteCt
) -> None:
    scp = start_scp(sender)  # it accepts only CT
    other = make_ct(1)
    other.file_meta.MediaStorageSOPClassUID = other.SOPClassUID = SegmentationStorage
    other.save_as(tmp_path / "other.dcm", enforce_file_format=True)
    client = client_of(scp.port, "LUNGNODE")  # type: ignore[attr-defined]
    client = PacsClient(client.peer, NodeSettings(ae_title="SENDER"))

    alone = list(client.store([tmp_path / "other.dcm"]))
    together = list(client.store([tmp_path / "other.dcm", *write_ct(1)]))

    assert refusals(alone) == ["instance 1.2.3.1: refused with status 0x0122"]
    assert refusals(together) == ["instance 1.2.3.1: refused with status 0x0122", None]


# -- unavailable peers --


def test_a_closed_port_is_unavailable(free_port: int) -> None:
    with pytest.raises(PacsUnavailable, match="pacs: no association with"):
        client_of(free_port).echo()


def test_an_unknown_host_name_is_unavailable() -> None:
    peer = Peer(name="pacs", ae_title="PACS", host="no-such-host.invalid", port=104)

    with pytest.raises(PacsUnavailable, match="cannot be resolved"):
        PacsClient(peer, NodeSettings()).echo()


def test_a_rejection_has_its_reason(pacs: SmallPacs) -> None:
    with pytest.raises(PacsUnavailable, match="rejected the association: Called AE title not recognised"):
        client_of(pacs.port, "ANOTHER").echo()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Return a port that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_peer_that_does_not_respond_is_given_up_in_time(silent_port: int) -> None:
    started = time.monotonic()

    with pytest.raises(PacsUnavailable):
        client_of(silent_port, connect_timeout_s=0.5).echo()

    assert time.monotonic() - started < 3


def test_a_store_without_a_response_is_given_up_in_time(pacs: SmallPacs, write_ct: WriteCt) -> None:
    pacs.behaviour.delay_s = 4.0
    started = time.monotonic()

    with pytest.raises(PacsUnavailable, match="no response in time"):
        list(client_of(pacs.port, network_timeout_s=0.5).store(write_ct(2)))

    assert time.monotonic() - started < 3


def test_a_peer_that_goes_down_during_a_store_is_unavailable_after_the_stored_outcomes(
    pacs: SmallPacs, client: PacsClient, write_ct: WriteCt
) -> None:
    outcomes: list[StoreOutcome] = []

    def store_and_stop() -> None:
        for outcome in client.store(write_ct(3)):
            outcomes.append(outcome)
            pacs.stop()

    with pytest.raises(PacsUnavailable):
        store_and_stop()

    assert refusals(outcomes) == [None]


def test_abort_ends_a_call_of_another_thread_at_once(pacs: SmallPacs, write_ct: WriteCt) -> None:
    pacs.behaviour.delay_s = 3.0
    client = client_of(pacs.port, network_timeout_s=60.0)
    threading.Timer(0.5, client.abort).start()
    started = time.monotonic()

    with pytest.raises(PacsUnavailable):
        list(client.store(write_ct(1)))

    assert time.monotonic() - started < 2


# -- the connection --


def test_a_requested_connection_has_no_delay_and_a_timeout(tmp_path: Path) -> None:
    seen: list[tuple[int, float | None]] = []

    def look(_: evt.Event) -> int:
        for thread in threading.enumerate():
            if isinstance(thread, Association) and thread.is_requestor and thread.dul.socket is not None:
                connection = thread.dul.socket.socket
                assert connection is not None
                option = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
                seen.append((option, connection.gettimeout()))
        return 0x0000

    scp = AE("SMALLPACS")
    scp.add_supported_context("1.2.840.10008.1.1")
    server = scp.start_server(("127.0.0.1", 0), block=False, evt_handlers=[CLOSES_ITS_SOCKET, (evt.EVT_C_ECHO, look)])
    assert server is not None
    client_of(server.server_address[1]).echo()
    server.shutdown()

    assert seen == [(1, 2.0)]


def test_a_response_is_not_taken_by_the_polling_thread(client: PacsClient) -> None:
    answer = C_ECHO()
    answer.MessageIDBeingRespondedTo, answer.Status = 1, 0x0000
    with client._association(contexts.proposed(contexts.ECHO)) as association:
        association.dimse.msg_queue.put((1, answer))
        time.sleep(0.05)  # pynetdicom's other thread has polled many times by now

        assert association.dimse.get_msg(block=True) == (1, answer)


# -- find, move, get --


def query(level: str, **keys: str) -> Dataset:
    identifier = Dataset()
    identifier.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(identifier, keyword, value)
    return identifier


def test_a_find_returns_the_matches(client: PacsClient, write_ct: WriteCt) -> None:
    list(client.store(write_ct(2, "1.2.3") + write_ct(1, "1.2.4")))

    found = client.find(
        query("SERIES", StudyInstanceUID="1.2", SeriesInstanceUID="", NumberOfSeriesRelatedInstances="")
    )

    assert {answer.SeriesInstanceUID: answer.NumberOfSeriesRelatedInstances for answer in found} == {
        "1.2.3": 2,
        "1.2.4": 1,
    }
    assert client.find(query("STUDY", StudyInstanceUID="9.9")) == []


def test_a_refused_find_raises(client: PacsClient) -> None:
    with pytest.raises(PacsUnavailable, match="C-FIND: status 0xA900"):
        client.find(query("ROOM"))


def test_a_move_sends_to_its_destination_and_counts(
    pacs: SmallPacs, client: PacsClient, write_ct: WriteCt, tmp_path: Path
) -> None:
    list(client.store(write_ct(3)))
    with SmallPacs(folder=tmp_path / "third", ae_title="THIRD") as third:
        pacs.peers = {"THIRD": (third.host, third.port)}

        moved = client.move(query("SERIES", SeriesInstanceUID="1.2.3"), "THIRD")

        assert (moved.completed, moved.failed, len(third.stored())) == (3, 0, 3)


def test_a_move_to_an_unknown_destination_raises(client: PacsClient, write_ct: WriteCt) -> None:
    list(client.store(write_ct(1)))

    with pytest.raises(PacsUnavailable, match="C-MOVE: status 0xA801"):
        client.move(query("SERIES", SeriesInstanceUID="1.2.3"), "NOBODY")


def test_a_get_returns_instances_as_they_were_stored(client: PacsClient, write_ct: WriteCt) -> None:
    files = write_ct(3)
    list(client.store(files))
    received: dict[str, ReceivedInstance] = {}

    got = client.get(query("SERIES", SeriesInstanceUID="1.2.3"), lambda uid, read: received.update({uid: read()}))

    assert (got.completed, got.failed) == (3, 0)
    for number, file in enumerate(files, start=1):
        instance, sent = received[f"1.2.3.{number}"], dcmread(file)
        assert (instance.sop_class_uid, instance.calling_ae_title) == (sent.SOPClassUID, client.peer.ae_title)
        encoded = BytesIO(b"".join(pieces_of(instance.encoded)))
        is_implicit = instance.transfer_syntax_uid == ImplicitVRLittleEndian
        assert read_dataset(encoded, is_implicit_VR=is_implicit, is_little_endian=True) == sent


# -- against dcmtk --


def test_dcmtk_receives_the_files_sent(write_ct: WriteCt, tmp_path: Path, free_port: int) -> None:
    if not Path("/usr/bin/storescp").exists():
        pytest.skip("no /usr/bin/storescp: dcmtk is not installed")
    (tmp_path / "in").mkdir()
    command = ["/usr/bin/storescp", "-aet", "SMALLPACS", "-od", str(tmp_path / "in"), str(free_port)]
    server = subprocess.Popen(command)
    try:
        client = client_of(free_port)
        wait_until(lambda: is_listening(free_port), 10, "storescp listens")
        assert refusals(list(client.store(write_ct(3)))) == [None] * 3
    finally:
        server.terminate()
        server.wait()

    assert len(list((tmp_path / "in").iterdir())) == 3
