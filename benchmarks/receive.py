"""How long the node takes to receive a series, beside dcmtk's storescp in the same run: `python -m benchmarks.receive`.

The sender is dcmtk's storescu for both. The node syncs each file, its folder and its journal to the disk before it
answers; storescp (`+B`, as it comes) does not.
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

ENVIRONMENT = os.environ | {"TCP_NODELAY": "1"}  # dcmtk's own switch; without it each image waits 40 ms


def write_series(folder: Path, count: int) -> list[Path]:
    """Write so many slices of 512 x 512."""
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
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def send(files: list[Path], port: int, associations: int) -> float:
    """Send the files over so many associations at once, and return the seconds it took."""
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
    taken = time.perf_counter() - started
    if any(codes):
        raise SystemExit(f"storescu ended with {codes}")
    return taken


@contextmanager
def node(folder: Path) -> Iterator[int]:
    """Our door, with its spool and its journal."""
    settings = NodeSettings(ae_title="NODE", port=0, data_dir=folder, min_free_mb=0)
    journal = Journal(f"sqlite:///{folder}/journal.db")
    sender = Peer(name="sender", ae_title="SENDER", host="127.0.0.1", port=1, may_send=True)

    def ignore(_: CommitmentReport, __: object) -> int:
        return SUCCESS

    intake = InstanceReceiver(journal=journal, spool=Spool(folder))
    door = StorageScp(node=settings, peers=[sender], journal=journal, intake=intake, on_report=ignore)
    server = door.open()
    yield server.server_address[1]
    close(server)
    received = len(list(folder.glob("inbox/*/*.dcm")))
    print(f"    the node holds {received} files", flush=True)
    journal.close()


@contextmanager
def storescp(folder: Path) -> Iterator[int]:
    """dcmtk's receiver, writing what comes as it comes."""
    port = free_port()
    command = ["/usr/bin/storescp", "--fork", "+B", "-pdu", "131072", "-aet", "NODE", "-od", str(folder), str(port)]
    server = subprocess.Popen(command, env=ENVIRONMENT)
    time.sleep(0.3)
    yield port
    server.terminate()
    server.wait()


def best_of(runs: int, receiver: Callable[[Path], object], files: list[Path], associations: int) -> float:
    """Return the shortest of some runs, each into an empty folder."""
    times = []
    for _ in range(runs):
        folder = Path(tempfile.mkdtemp(prefix="receive"))
        with receiver(folder) as port:  # type: ignore[attr-defined]
            times.append(send(files, port, associations))
        shutil.rmtree(folder)
    return min(times)


def main() -> None:
    """Print seconds and ratio, for one association and for several at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    silence_libraries()
    folder = Path(tempfile.mkdtemp(prefix="series"))
    for associations in (1, 8):
        files = write_series(folder, arguments.slices * (1 if associations == 1 else 2))
        theirs = best_of(arguments.runs, storescp, files, associations)
        ours = best_of(arguments.runs, node, files, associations)
        print(
            f"{len(files)} slices, {associations} association(s): storescp {theirs:.2f} s, "
            f"node {ours:.2f} s, ratio {ours / theirs:.1f}"
        )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
