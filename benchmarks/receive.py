"""Receiving a series: the node, dcmtk's storescp, and writing the same files: `python -m benchmarks.receive`.

The sender is dcmtk's storescu. Each file of the node is on disk (file and folder synced) before its C-STORE response;
storescp (`--fork +B`, bit preserving) does not sync. So the node is compared with the sum of storescp's time and the
time to write and sync the same files one after another. Each round measures all of them in turn.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.row import Row, row_of, write_rows
from dicom_node.audit.settings import AuditSettings
from dicom_node.audit.trail import AuditTrail
from dicom_node.delivery.commitment import CommitmentReport
from dicom_node.journal.journal import Journal
from dicom_node.network.scp import StorageScp
from dicom_node.network.status import SUCCESS, configure_libraries
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.receiver import InstanceReceiver
from dicom_node.storage.spool import Spool
from tests.fixtures.ct_image import ct_image
from tests.fixtures.dicom_node.echo_watch import EchoWatch
from tests.fixtures.ports import free_port

ENVIRONMENT = os.environ | {"TCP_NODELAY": "1"}  # read by dcmtk; without it each image takes 40 ms longer
SLICES = {1: 300, 8: 600}
"""Number of slices by number of associations."""
MOST_TIMES, MOST_ECHO_S, MOST_MB = 2.0, 0.1, 400.0
"""Goals: times the sum of the peers, seconds of an echo, MB of memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Seconds of one round, and what the node showed meanwhile."""

    node_s: float
    storescp_s: float
    sync_s: float
    echo_s: float
    memory_mb: float

    @property
    def ratio(self) -> float:
        """The node's time over the sum of the other two."""
        return self.node_s / (self.storescp_s + self.sync_s)


def write_series(folder: Path, count: int) -> list[Path]:
    """Write `count` slices of 512 x 512 and return their paths."""
    pixels = np.random.default_rng(1).integers(-1000, 1000, (512, 512), dtype=np.int16)
    files = []
    for number in range(count):
        files.append(folder / f"{number}.dcm")
        ct_image(pixels, number, (0, 0, number)).save_as(files[-1], enforce_file_format=True)
    return files


def send(files: Sequence[Path], port: int, associations: int) -> float:
    """Send the files over this number of parallel associations and return the seconds."""
    options = ["-aet", "SENDER", "-aec", "NODE", "--max-send-pdu", "131072"]
    command = ["/usr/bin/storescu", *options, "127.0.0.1", str(port)]
    parts = [[str(file) for file in files[start::associations]] for start in range(associations)]
    started = time.perf_counter()
    senders = [subprocess.Popen([*command, *part], env=ENVIRONMENT) for part in parts]
    codes = [sender.wait() for sender in senders]
    seconds = time.perf_counter() - started
    if any(codes):
        raise SystemExit(f"storescu ended with {codes}")
    return seconds


def serve(folder: Path) -> None:
    """Run the node's Storage SCP with spool and journal until standard input ends; print its port."""
    configure_libraries()
    settings = NodeSettings(ae_title="NODE", port=0, data_dir=folder, min_free_mb=0)
    sender = Peer(name="sender", ae_title="SENDER", host="127.0.0.1", port=1, may_send=True)

    def ignore(_: CommitmentReport, __: object) -> int:
        return SUCCESS

    with Journal(f"sqlite:///{folder}/journal.db") as journal:
        receiver = InstanceReceiver(journal.series, Spool(folder))
        scp = StorageScp(
            node=settings,
            peers=[sender],
            commitments=journal.commitments,
            receiver=receiver,
            on_report=ignore,
            audit=AuditTrail(AuditSettings(), settings),
        ).open()
        print(scp.port, flush=True)
        sys.stdin.read()
        scp.close()
        receiver.close()


@contextmanager
def node(folder: Path) -> Iterator[tuple[int, int]]:
    """Run the node in a process of its own, and yield its port and process ID."""
    command = [sys.executable, "-m", "benchmarks.receive", "--serve", str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    yield int(process.stdout.readline()), process.pid
    process.stdin.close()
    process.wait()
    process.stdout.close()


@contextmanager
def storescp(folder: Path) -> Iterator[tuple[int, int]]:
    """Run dcmtk's storescp in bit preserving mode, and yield its port and process ID."""
    port = free_port()
    command = ["/usr/bin/storescp", "--fork", "+B", "-pdu", "131072", "-aet", "NODE", "-od", str(folder), str(port)]
    server = subprocess.Popen(command, env=ENVIRONMENT)
    time.sleep(0.3)
    yield port, server.pid
    server.terminate()
    server.wait()


def write_and_sync(files: Sequence[Path], folder: Path) -> float:
    """Write copies of the files, sync each file and then the folder, and return the seconds."""
    contents = [file.read_bytes() for file in files]
    directory = os.open(folder, os.O_RDONLY)
    started = time.perf_counter()
    for file, content in zip(files, contents, strict=True):
        with (folder / file.name).open("wb") as copy:
            copy.write(content)
            copy.flush()
            os.fsync(copy.fileno())
        os.fsync(directory)
    seconds = time.perf_counter() - started
    os.close(directory)
    return seconds


def received_s(
    server: Callable[[Path], AbstractContextManager[tuple[int, int]]], files: Sequence[Path], associations: int
) -> float:
    """Return the seconds to send the files to a server with an empty folder."""
    with tempfile.TemporaryDirectory(prefix="receive") as folder, server(Path(folder)) as (port, _):
        return send(files, port, associations)


def watched(files: Sequence[Path], associations: int) -> tuple[float, float]:
    """Return the longest echo, in seconds, and the largest memory of the node, in MB, while the files are sent."""
    with tempfile.TemporaryDirectory(prefix="receive") as folder, node(Path(folder)) as (port, pid):
        with EchoWatch(port, pid) as watch:
            send(files, port, associations)
        stored = len(list(Path(folder).glob("inbox/*/*.dcm")))
        assert stored == len(files), f"{stored} of {len(files)} files are there"
        return watch.slowest_echo_s, watch.memory_mb


def measure(files: Sequence[Path], associations: int) -> Round:
    """Measure one round."""
    storescp_s = received_s(storescp, files, associations)
    with tempfile.TemporaryDirectory(prefix="receive") as folder:
        sync_s = write_and_sync(files, Path(folder))
    node_s = received_s(node, files, associations)
    echo_s, memory_mb = watched(files, associations)
    return Round(node_s=node_s, storescp_s=storescp_s, sync_s=sync_s, echo_s=echo_s, memory_mb=memory_mb)


def rows_of(rounds: Sequence[Round], associations: int) -> list[Row]:
    """Return the table's lines of one number of associations."""
    kind = f"{SLICES[associations]} slices, {associations} association{'s' * (associations > 1)}"
    peers: dict[str, float | None] = {
        "dcmtk storescp": statistics.median(each.storescp_s for each in rounds),
        "write and sync the files": statistics.median(each.sync_s for each in rounds),
    }
    peers["LungSpread"] = statistics.median(each.node_s for each in rounds)
    return [
        row_of(f"receive {kind}, over both peers", "times", [each.ratio for each in rounds], MOST_TIMES, peers),
        row_of(f"echo meanwhile, {kind}", "s", [each.echo_s for each in rounds], MOST_ECHO_S),
        row_of(f"memory meanwhile, {kind}", "MB", [each.memory_mb for each in rounds], MOST_MB),
    ]


def main() -> None:
    """Print the table, and write it as JSON if a file is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="write the rows to this JSON file")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    configure_libraries()
    if arguments.serve:
        serve(arguments.serve)
        return
    if shutil.which("storescp", path="/usr/bin") is None:
        raise SystemExit("dcmtk is not installed: /usr/bin/storescp is missing")
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="series") as folder:
        for associations, count in SLICES.items():
            files = write_series(Path(folder), count)
            rows += rows_of([measure(files, associations) for _ in range(arguments.rounds)], associations)
    write_rows(rows, arguments.out)


if __name__ == "__main__":
    main()
