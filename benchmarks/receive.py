"""Time to receive a series, by the node and by dcmtk's storescp in the same run: `python -m benchmarks.receive`.

The sender is dcmtk's storescu for both. The node syncs each file, its folder and its journal to disk before it sends
the C-STORE response; storescp (`+B`, bit preserving) does not.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from dicom_node.delivery.commitment import CommitmentReport
from dicom_node.journal.journal import Journal
from dicom_node.network.scp import StorageScp, close
from dicom_node.network.status import SUCCESS, silence_libraries
from dicom_node.settings import NodeSettings, Peer
from dicom_node.storage.receiver import InstanceReceiver
from dicom_node.storage.spool import Spool

ENVIRONMENT = os.environ | {"TCP_NODELAY": "1"}  # read by dcmtk; without it each image takes 40 ms longer


def write_series(folder: Path, count: int) -> list[Path]:
    """Write `count` slices of 512 x 512 and return their paths."""
    pixels = np.random.default_rng(1).integers(-1000, 1000, (512, 512), dtype=np.int16).tobytes()
    files = []
    for number in range(count):
        ct = Dataset()
        ct.file_meta = FileMetaDataset()
        ct.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ct.SOPClassUID, ct.SOPInstanceUID = CTImageStorage, f"1.2.3.{number}"
        ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.Modality = "1.2", "1.2.3", "CT"
        ct.Rows = ct.Columns = 512
        ct.BitsAllocated = ct.BitsStored = 16
        ct.HighBit, ct.PixelRepresentation, ct.SamplesPerPixel = 15, 1, 1
        ct.PhotometricInterpretation, ct.PixelData = "MONOCHROME2", pixels
        files.append(folder / f"{number}.dcm")
        ct.save_as(files[-1], enforce_file_format=True)
    return files


def free_port() -> int:
    """Return a free TCP port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def send(files: list[Path], port: int, associations: int) -> float:
    """Send the files over this number of parallel associations and return the seconds."""
    command = [
        "/usr/bin/storescu",
        "-aet",
        "SENDER",
        "-aec",
        "NODE",
        "--max-send-pdu",
        "131072",
        "127.0.0.1",
        str(port),
    ]
    parts = [[str(file) for file in files[start::associations]] for start in range(associations)]
    started = time.perf_counter()
    senders = [subprocess.Popen([*command, *part], env=ENVIRONMENT) for part in parts]
    codes = [sender.wait() for sender in senders]
    seconds = time.perf_counter() - started
    if any(codes):
        raise SystemExit(f"storescu ended with {codes}")
    return seconds


@contextmanager
def node(folder: Path) -> Iterator[int]:
    """Run the node's Storage SCP with spool and journal, and yield its port."""
    settings = NodeSettings(ae_title="NODE", port=0, data_dir=folder, min_free_mb=0)
    sender = Peer(name="sender", ae_title="SENDER", host="127.0.0.1", port=1, may_send=True)

    def ignore(_: CommitmentReport, __: object) -> int:
        return SUCCESS

    with Journal(f"sqlite:///{folder}/journal.db") as journal:
        receiver = InstanceReceiver(journal.series, Spool(folder))
        server = StorageScp(
            node=settings, peers=[sender], commitments=journal.commitments, receiver=receiver, on_report=ignore
        ).open()
        yield server.server_address[1]
        close(server)
        receiver.close()
    received = len(list(folder.glob("inbox/*/*.dcm")))
    print(f"    the node stored {received} files", flush=True)


@contextmanager
def storescp(folder: Path) -> Iterator[int]:
    """Run dcmtk's storescp in bit preserving mode, and yield its port."""
    port = free_port()
    command = ["/usr/bin/storescp", "--fork", "+B", "-pdu", "131072", "-aet", "NODE", "-od", str(folder), str(port)]
    server = subprocess.Popen(command, env=ENVIRONMENT)
    time.sleep(0.3)
    yield port
    server.terminate()
    server.wait()


def best_of(runs: int, receiver: Callable[[Path], object], files: list[Path], associations: int) -> float:
    """Return the shortest time of several runs, each into an empty folder."""
    times = []
    for _ in range(runs):
        folder = Path(tempfile.mkdtemp(prefix="receive"))
        with receiver(folder) as port:  # type: ignore[attr-defined]
            times.append(send(files, port, associations))
        shutil.rmtree(folder)
    return min(times)


def main() -> None:
    """Print seconds and ratio, for one association and for eight in parallel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    silence_libraries()
    folder = Path(tempfile.mkdtemp(prefix="series"))
    for associations in (1, 8):
        files = write_series(folder, arguments.slices * (1 if associations == 1 else 2))
        storescp_s = best_of(arguments.runs, storescp, files, associations)
        node_s = best_of(arguments.runs, node, files, associations)
        print(
            f"{len(files)} slices, {associations} association(s): storescp {storescp_s:.2f} s, "
            f"node {node_s:.2f} s, ratio {node_s / storescp_s:.1f}"
        )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
