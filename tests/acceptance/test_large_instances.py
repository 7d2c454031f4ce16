"""Memory of the node while large instances arrive, eight at once."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from benchmarks.receive import node
from tests.fixtures.dicom_node.pdus import (
    CT,
    DATA,
    LAST_COMMAND,
    LAST_DATA,
    associated,
    association_request,
    p_data,
    store_request,
)

ASSOCIATIONS, MEGABYTES = 8, 40
MOST_MB = 250
"""The node alone has about 90."""


def data_set(uid: str, megabytes: int) -> Iterator[bytes]:
    """Yield a CT image of zeros in explicit VR little endian, a megabyte at a time."""
    uids = {(0x0008, 0x0016): CT, (0x0008, 0x0018): uid, (0x0020, 0x000D): "1.2", (0x0020, 0x000E): "1.2.3"}
    for tag, value in uids.items():
        padded = value.encode() + b"\0" * (len(value) % 2)
        yield struct.pack("<HH2sH", *tag, b"UI", len(padded)) + padded
    yield struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OW", 0, megabytes << 20)
    for _ in range(megabytes):
        yield bytes(1 << 20)


def store(port: int, number: int, megabytes: int = MEGABYTES) -> bytes:
    """Send one instance on an association of its own, and return its response."""
    uid = f"1.2.3.{number}"
    with associated(port, association_request(called=b"NODE")) as connection:
        connection.settimeout(120)
        connection.sendall(p_data(LAST_COMMAND, store_request(uid)))
        for part in data_set(uid, megabytes):
            for start in range(0, len(part), 1 << 16):
                connection.sendall(p_data(DATA, part[start : start + (1 << 16)]))
        connection.sendall(p_data(LAST_DATA, b""))
        return connection.recv(4096)


def watch(pid: int, ended: threading.Event, largest: list[float]) -> None:
    process = psutil.Process(pid)
    while not ended.wait(0.05):
        largest[0] = max(largest[0], process.memory_info().rss / 2**20)


def memory_mb(folder: Path, megabytes: int = MEGABYTES) -> float:
    """Return the largest memory of a node that stores all of them, in MB."""
    largest, ended = [0.0], threading.Event()
    with node(folder) as (port, pid), ThreadPoolExecutor(ASSOCIATIONS) as senders:
        watching = threading.Thread(target=watch, args=(pid, ended, largest))
        watching.start()
        answers = list(senders.map(lambda number: store(port, number, megabytes), range(1, ASSOCIATIONS + 1)))
        ended.set()
        watching.join()
    success = struct.pack("<HHIH", 0, 0x0900, 2, 0)  # PS3.7 table 9.3-2
    assert all(success in answer for answer in answers)
    assert len(list(folder.glob("inbox/1.2.3/*.dcm"))) == ASSOCIATIONS
    return largest[0]


def test_eight_large_instances_at_once_are_not_in_memory(tmp_path: Path) -> None:
    assert memory_mb(tmp_path) < MOST_MB < ASSOCIATIONS * MEGABYTES
