"""Tests of invalid input on the port: each does no harm, and is logged in one line."""

from __future__ import annotations

import logging
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from pydicom import Dataset, dcmread
from pydicom.filewriter import dcmwrite
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from dicom_node.journal.journal import Journal
from dicom_node.settings import NodeSettings, Peer
from tests.conftest import CLOSES_ITS_SOCKET
from tests.fixtures.dicom_node.pdus import (
    CT,
    DATA,
    LAST_COMMAND,
    VERIFICATION,
    associated,
    association_request,
    p_data,
    pdu,
    store_request,
)
from tests.fixtures.waiting import wait_until

WriteCt = Callable[..., list[Path]]
MakeCt = Callable[..., Dataset]


class RunningScp(Protocol):
    node: NodeSettings
    port: int
    journal: Journal

    def files(self) -> list[Path]: ...


StartScp = Callable[..., RunningScp]


@pytest.fixture
def scp(start_scp: StartScp, sender: Peer) -> RunningScp:
    return start_scp(sender, network_timeout_s=1.0, association_timeout_s=1.0, max_associations=8)


def connect(scp: RunningScp) -> socket.socket:
    return socket.create_connection(("127.0.0.1", scp.port), timeout=5)


def is_closed(connection: socket.socket, within_s: float = 5.0) -> bool:
    """Whether the node closes the connection; bytes sent before that (an A-ABORT) are read."""
    connection.settimeout(within_s)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


def node_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name.startswith("dicom_node")]


def awaited_lines(caplog: pytest.LogCaptureFixture, text: str) -> int:
    """Return the number of lines with this text, once there is one."""
    wait_until(lambda: any(text in line for line in node_lines(caplog)), 5, text)
    return sum(text in line for line in node_lines(caplog))


def assert_unharmed(scp: RunningScp, files: list[Path]) -> None:
    """Assert that a series can still be stored."""
    assoc = AE("SENDER").associate(
        "127.0.0.1", scp.port, [build_context(CT)], "LUNGNODE", evt_handlers=[CLOSES_ITS_SOCKET]
    )
    statuses = [assoc.send_c_store(dcmread(file)).Status for file in files]
    assoc.release()
    assert statuses == [0x0000] * len(files)
    assert len(scp.files()) == len(files)
    (series,) = scp.journal.series.quiet(before=4e9)
    assert len(series.sop_instance_uids) == len(files)


GARBAGE = {
    "http": b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
    "tls": bytes.fromhex("1603010200010001fc0303") + bytes(range(200)),
    "zeros": bytes(4096),
    "all bytes": bytes(range(256)) * 64,
    "a request with an invalid body": pdu(1, b"\xff" * 300),
    "data before any association": pdu(4, bytes(64)),
    "an unending PDU": pdu(4, bytes(1000), 0xFFFFFFFF),
    "an unending request": pdu(1, bytes(1000), 0x7FFFFFFF),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_garbage_ends_the_connection(
    scp: RunningScp, write_ct: WriteCt, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    with connect(scp) as connection:
        connection.sendall(GARBAGE[name])

        assert is_closed(connection)

    assert awaited_lines(caplog, "connection from 127.0.0.1") == 1
    assert_unharmed(scp, write_ct(2))


@pytest.mark.parametrize("padding", [b" ", b"\0"], ids=["spaces", "NUL"])
def test_ae_titles_may_be_padded_with_nul(scp: RunningScp, padding: bytes) -> None:
    with connect(scp) as connection:
        called, calling = b"LUNGNODE".ljust(16, padding), b"SENDER".ljust(16, padding)
        connection.sendall(association_request(abstract_syntax=VERIFICATION, called=called, calling=calling))

        assert connection.recv(1) == b"\x02"  # A-ASSOCIATE-AC


def test_a_port_scan_is_one_log_line(scp: RunningScp, write_ct: WriteCt, caplog: pytest.LogCaptureFixture) -> None:
    connect(scp).close()

    assert awaited_lines(caplog, "ended without an association") == 1
    assert_unharmed(scp, write_ct(2))


@pytest.mark.parametrize(
    "sent", [b"", pdu(1, b"", 500)[:6], pdu(1, b"\0\1", 500)], ids=["nothing", "a header", "a part"]
)
def test_a_half_open_connection_is_closed_after_its_timeout(scp: RunningScp, write_ct: WriteCt, sent: bytes) -> None:
    with connect(scp) as silent:
        silent.sendall(sent)
        assert_unharmed(scp, write_ct(2))

        assert is_closed(silent)


def test_a_peer_that_sends_single_bytes_slowly_is_disconnected(scp: RunningScp) -> None:
    with connect(scp) as slow:
        slow.sendall(pdu(1, b"", 500))
        started = time.monotonic()
        ended = threading.Event()

        def send_slowly() -> None:
            while not ended.is_set():
                try:
                    slow.sendall(b"\0")
                except OSError:
                    return
                time.sleep(0.1)

        thread = threading.Thread(target=send_slowly)
        thread.start()
        assert is_closed(slow)
        ended.set()
        thread.join()

    assert time.monotonic() - started < 4


def test_silent_connections_do_not_block_associations(scp: RunningScp, write_ct: WriteCt) -> None:
    silent = [connect(scp) for _ in range(20)]
    time.sleep(2.5)

    assert_unharmed(scp, write_ct(2))
    for connection in silent:
        assert is_closed(connection)
        connection.close()


@pytest.mark.parametrize("contexts", [129, 1000, 8000])
def test_an_association_with_too_many_presentation_contexts_does_no_harm(
    scp: RunningScp, write_ct: WriteCt, contexts: int
) -> None:
    with connect(scp) as connection:
        connection.sendall(association_request(contexts))
        connection.settimeout(5)
        answer = connection.recv(1)
        # Accepted, rejected or aborted: PS3.8 allows each.
        assert answer in {b"\2", b"\3", b"\7", b""}

    assert_unharmed(scp, write_ct(2))


def start_of_a_store(ct: Dataset, folder: Path) -> bytes:
    """Return the P-DATA PDUs of a C-STORE of this image: the command, and the first half of the data set."""
    dcmwrite(folder / "whole.dcm", ct, enforce_file_format=True)
    half = (folder / "whole.dcm").read_bytes()[400:1400]
    return p_data(LAST_COMMAND, store_request(ct.SOPInstanceUID)) + p_data(DATA, half)


@pytest.mark.parametrize("ending", ["abort", "reset", "silence"])
def test_an_association_that_ends_during_a_store_leaves_no_file(
    scp: RunningScp, make_ct: MakeCt, write_ct: WriteCt, tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str
) -> None:
    connection = associated(scp.port)
    connection.sendall(start_of_a_store(make_ct(9), tmp_path))
    if ending == "abort":
        connection.sendall(pdu(7, bytes(4)))
    if ending == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    assert awaited_lines(caplog, "was aborted") == 1
    assert scp.files() == []
    connection.close()
    assert_unharmed(scp, write_ct(2))


def test_an_invalid_message_ends_its_own_association_only(scp: RunningScp, write_ct: WriteCt) -> None:
    with associated(scp.port) as connection:
        connection.sendall(p_data(LAST_COMMAND, b"\xff" * 100))

        assert is_closed(connection)

    assert_unharmed(scp, write_ct(2))


def test_no_patient_data_is_logged(
    scp: RunningScp, make_ct: MakeCt, write_ct: WriteCt, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    broken = make_ct(8)
    del broken.SeriesInstanceUID
    broken.PatientBirthDate = "19630215"
    assoc = AE("SENDER").associate(
        "127.0.0.1", scp.port, [build_context(CT)], "LUNGNODE", evt_handlers=[CLOSES_ITS_SOCKET]
    )
    assert assoc.send_c_store(broken).Status == 0xC000
    assoc.release()

    assert_unharmed(scp, write_ct(2))

    written = caplog.text
    assert "0xC000" in written
    for secret in ("SECRET", "CHEST", "19630215"):
        assert secret not in written


def test_an_event_out_of_turn_ends_its_association_and_no_thread_by_an_exception(scp: RunningScp) -> None:
    with associated(scp.port, association_request(abstract_syntax=VERIFICATION)) as connection:
        accepted = [t for t in threading.enumerate() if isinstance(t, Association) and t.is_acceptor]
        # PS3.8 table 9-10 has no action for a confirmed connection in state 6; pytest reports exceptions of threads.
        accepted[-1].dul.event_queue.put("Evt2")

        assert is_closed(connection)

    associated(scp.port).close()
