"""Limits of what a peer sends: a message that breaks one ends its association, and no file is left."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE
from pynetdicom.presentation import build_context

from dicom_node.journal.journal import Journal
from dicom_node.network.message_buffers import MAX_MEMORY_BYTES
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.content import data_set_sha256
from dicom_node.storage.spool import Spool
from tests.conftest import CLOSES_ITS_SOCKET
from tests.fixtures.dicom_node.pdus import (
    COMMAND,
    CT,
    DATA,
    LAST_COMMAND,
    associated,
    p_data,
    pdu,
    store_request,
    value,
)
from tests.fixtures.waiting import wait_until

MakeCt = Callable[..., Dataset]
WriteCt = Callable[..., list[Path]]
LIMIT_MB = 12
PART = bytes(1 << 17)


class RunningScp(Protocol):
    node: NodeSettings
    port: int
    journal: Journal
    spool: Spool

    def files(self) -> list[Path]: ...


StartScp = Callable[..., RunningScp]


@pytest.fixture
def scp(start_scp: StartScp, sender: Peer) -> RunningScp:
    return start_scp(sender, max_instance_mb=LIMIT_MB)


def sent_until_closed(connection: socket.socket, part: bytes, most: int) -> int:
    """Send a part again and again, and return how often it was taken before the connection was closed."""
    connection.settimeout(10)
    for count in range(most):
        try:
            connection.sendall(part)
        except OSError:
            return count
    with contextlib.suppress(ConnectionError):
        while connection.recv(4096):
            pass
    return most


def line_with(caplog: pytest.LogCaptureFixture, text: str) -> str:
    wait_until(lambda: any(text in line for line in caplog.messages), 5, text)
    return next(line for line in caplog.messages if text in line)


def test_a_data_set_without_end_is_aborted_at_the_limit(scp: RunningScp, caplog: pytest.LogCaptureFixture) -> None:
    with associated(scp.port) as connection:
        connection.sendall(p_data(LAST_COMMAND, store_request("1.2.3.4")))

        sent_until_closed(connection, p_data(DATA, PART), 200)

    assert line_with(caplog, "MiB") == (
        f"association of 'SENDER' at 127.0.0.1 is aborted: a data set is longer than {LIMIT_MB} MiB"
    )
    line_with(caplog, "was aborted: 0 instances stored")
    assert scp.files() == []


@pytest.mark.parametrize(
    ("part", "why"),
    [
        (p_data(COMMAND, bytes(1000)), "a command set is longer than 65536 bytes"),
        (pdu(4, b"".join([value(COMMAND, b"")] * 100)), "a command set is longer than 65536 bytes"),
        (pdu(4, b"".join([value(COMMAND, b"")] * 129)), "was aborted"),
        (pdu(4, bytes(2000), 2 << 20), "was aborted"),
    ],
    ids=["long command set", "empty fragments", "many values in a PDU", "a PDU that is too long"],
)
def test_a_command_set_without_end_is_aborted(
    scp: RunningScp, caplog: pytest.LogCaptureFixture, part: bytes, why: str
) -> None:
    with associated(scp.port) as connection:
        sent_until_closed(connection, part, 2000)

    line_with(caplog, why)
    assert scp.files() == []


def store(scp: RunningScp, image: Dataset) -> int:
    association = AE("SENDER").associate(
        "127.0.0.1", scp.port, [build_context(CT)], "LUNGNODE", evt_handlers=[CLOSES_ITS_SOCKET]
    )
    status = association.send_c_store(image).Status
    association.release()
    return int(status)


def test_a_large_instance_is_unchanged_on_disk_and_recorded(scp: RunningScp, make_ct: MakeCt) -> None:
    image = make_ct(1, size=2200)  # 9.2 MiB
    assert MAX_MEMORY_BYTES < len(image.PixelData) < LIMIT_MB << 20

    assert store(scp, image) == 0x0000

    kept = scp.spool.instance_path("1.2.3", "1.2.3.1")
    assert dcmread(kept) == image
    (instance,) = scp.journal.series.instances(["1.2.3.1"])
    assert instance.data_set_sha256 == data_set_sha256(kept)
    assert scp.files() == [kept]


def test_a_large_instance_without_a_series_is_not_understood(scp: RunningScp, make_ct: MakeCt) -> None:
    image = make_ct(1, size=2200)
    del image.SeriesInstanceUID

    assert store(scp, image) == 0xC000
    assert scp.files() == []


def test_a_full_disk_is_a_status_for_a_large_instance_too(start_scp: StartScp, sender: Peer, make_ct: MakeCt) -> None:
    scp = start_scp(sender, min_free_mb=1 << 40)

    assert store(scp, make_ct(1, size=2200)) == 0xA700
    assert scp.files() == []
