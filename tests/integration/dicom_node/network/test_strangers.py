"""Connections that nobody wants: they take nothing from the peers, and end soon."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

from dicom_node.network.admission import MOST_WAITING
from dicom_node.settings import NodeSettings, Peer
from tests.conftest import CLOSES_ITS_SOCKET
from tests.fixtures.dicom_node.pdus import CT, VERIFICATION, associated, association_request, rejection
from tests.fixtures.waiting import wait_until

WriteCt = Callable[..., list[Path]]
STRANGER, NEIGHBOUR = "127.0.0.99", "127.0.0.2"
"""Addresses of loopback that nobody has, and that another peer has."""


class RunningScp(Protocol):
    node: NodeSettings
    port: int

    def files(self) -> list[Path]: ...


StartScp = Callable[..., RunningScp]
OTHER = Peer(name="other", ae_title="OTHER", host=NEIGHBOUR, port=104, may_send=True)


@pytest.fixture
def scp(start_scp: StartScp, sender: Peer) -> RunningScp:
    return start_scp(sender, OTHER, max_associations=2, association_timeout_s=30.0)


@contextlib.contextmanager
def connected(port: int, count: int, sent: bytes = b"", source: str = "127.0.0.1") -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            connection = socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0))
            opened.append(stack.enter_context(connection))
            with contextlib.suppress(OSError):  # closed already
                connection.sendall(sent)
        yield opened


def associate(scp: RunningScp, calling: str = "SENDER", source: str = "127.0.0.1") -> Association:
    ae = AE(calling)
    return ae.associate(
        "127.0.0.1",
        scp.port,
        [build_context(VERIFICATION), build_context(CT)],
        "LUNGNODE",
        bind_address=(source, 0),
        evt_handlers=[CLOSES_ITS_SOCKET],
    )


def is_answered(scp: RunningScp, calling: str = "SENDER", source: str = "127.0.0.1") -> bool:
    association = associate(scp, calling, source)
    answered = association.is_established and association.send_c_echo().Status == 0x0000
    association.release()
    return answered


HALF_REQUEST = association_request()[:60]


@pytest.mark.parametrize(
    ("count", "sent"),
    [(40, HALF_REQUEST), (MOST_WAITING + 40, b""), (40, b"\1"), (40, association_request(calling=b"STRANGER"))],
    ids=["half requests", "idle", "one byte", "requests of an unknown title"],
)
def test_connections_without_an_association_take_no_slot(scp: RunningScp, count: int, sent: bytes) -> None:
    with connected(scp.port, count, sent):
        assert is_answered(scp)


def test_connections_that_are_closed_at_once_take_no_slot(scp: RunningScp) -> None:
    for _ in range(200):
        with connected(scp.port, 1):
            pass

    assert is_answered(scp)


def test_a_half_request_is_closed_after_its_time(start_scp: StartScp, sender: Peer) -> None:
    scp = start_scp(sender, association_timeout_s=0.3)

    with connected(scp.port, 3, HALF_REQUEST) as half_open:
        for connection in half_open:
            assert connection.recv(1) == b""


def test_a_connection_from_an_address_of_no_peer_is_closed_at_once(
    scp: RunningScp, caplog: pytest.LogCaptureFixture
) -> None:
    with connected(scp.port, 1, source=STRANGER) as (connection,):
        assert connection.recv(1) == b""

    assert not associate(scp, source=STRANGER).is_established
    assert set(caplog.messages) == {f"connection from {STRANGER} refused: no peer has its address"}


def test_the_right_title_from_another_peers_address_is_rejected(
    scp: RunningScp, caplog: pytest.LogCaptureFixture
) -> None:
    assert rejection(scp.port, association_request(), NEIGHBOUR) == (1, 1, 3)

    assert caplog.messages == [
        f"connection from {NEIGHBOUR} ('SENDER') rejected: the peer with its AE title has another address"
    ]
    assert is_answered(scp, "OTHER", NEIGHBOUR)


def test_a_peer_behind_address_translation_may_come_from_any_address(start_scp: StartScp, sender: Peer) -> None:
    scp = start_scp(sender.model_copy(update={"addresses": ("any",)}))

    assert is_answered(scp, source=STRANGER)


def test_a_peer_may_have_a_network(start_scp: StartScp, sender: Peer) -> None:
    scp = start_scp(sender.model_copy(update={"addresses": ("127.0.0.64/26",)}))

    assert is_answered(scp, source=STRANGER)
    assert not associate(scp, source=NEIGHBOUR).is_established


def test_one_peer_leaves_a_slot_to_another_and_gives_its_own_back_at_once(
    scp: RunningScp, caplog: pytest.LogCaptureFixture
) -> None:
    with associated(scp.port):
        assert rejection(scp.port, association_request()) == (2, 3, 2)
        assert is_answered(scp, "OTHER", NEIGHBOUR)

    wait_until(lambda: is_answered(scp), 5)
    assert sum("too many associations are open" in line for line in caplog.messages) >= 1


def test_each_association_is_a_line_when_it_opens_and_one_when_it_ends(
    scp: RunningScp, write_ct: WriteCt, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "dicom_node")
    association = associate(scp)
    for file in write_ct(3):
        association.send_c_store(file)
    broken = association.send_c_store(write_ct(1, series_uid="1.2.4")[0])
    association.release()
    assert broken.Status == 0x0000
    wait_until(lambda: any("was released" in line for line in caplog.messages), 5)

    opened, ended = (line for line in caplog.messages if line.startswith("association of"))
    assert opened == "association of sender ('SENDER' at 127.0.0.1) accepted"
    assert ended.startswith(
        "association of sender ('SENDER' at 127.0.0.1) was released: 4 instances stored, 0 refused, "
    )


def test_who_is_refused_again_and_again_does_not_fill_the_log(
    scp: RunningScp, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(50):
        with connected(scp.port, 1, source=STRANGER) as (connection,):
            assert connection.recv(1) == b""

    assert 1 <= len(caplog.messages) <= 10
