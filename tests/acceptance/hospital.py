"""A small hospital for acceptance tests: a real Orthanc and `lungspread serve`, each on free loopback ports."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

ROOT = Path(__file__).parent.parent.parent
SHARED = ROOT.parent / "shared"
STORESCU = Path("/usr/bin/storescu")  # dcmtk's: pynetdicom puts one of its own into the virtual environment

needs_shared = pytest.mark.skipif(
    not (SHARED / "tools" / "pacs-up").is_file(), reason="the shared reference material is not beside the repository"
)

CONFIGURATION = """
[node]
ae_title = "LUNGNODE"
port = {node_port}
data_dir = "{data_dir}"
quiet_period_s = 6
min_free_mb = 100
first_retry_s = 1
longest_retry_s = 5
commitment_timeout_s = 15
commitment_wait_s = 1

[queue]
lease_s = 6
first_ring_s = 3
max_attempts = 50

[worker]
device = "cpu"
{averaging}

[[peers]]
name = "orthanc"
ae_title = "ORTHANC"
host = "127.0.0.1"
port = {pacs_port}
may_send = true
send_results = true
commitment = true
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(kw_only=True)
class Site:
    """Orthanc forwards each stable CT series to the node; the node delivers to Orthanc."""

    folder: Path
    node_port: int = field(default_factory=free_port)
    pacs_port: int = field(default_factory=free_port)
    http_port: int = field(default_factory=free_port)
    service: subprocess.Popen[bytes] | None = None
    averaging: str = "ensemble_size = 1\nflip_tta = false"
    """Of the worker; "" for all that is averaged by default. What most of these tests look at does not hang on it."""

    @property
    def config(self) -> Path:
        return self.folder / "lungspread.toml"

    def __enter__(self) -> "Site":
        self.folder.mkdir(parents=True, exist_ok=True)
        text = CONFIGURATION.format(
            node_port=self.node_port, pacs_port=self.pacs_port, data_dir=self.folder / "var", averaging=self.averaging
        )
        self.config.write_text(text)
        self.start_pacs()
        self.start_service()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop_service()
        self.stop_pacs()

    def start_pacs(self) -> None:
        environment = os.environ | {
            "PACS_DICOM_PORT": str(self.pacs_port),
            "PACS_HTTP_PORT": str(self.http_port),
            "NODE_PORT": str(self.node_port),
            "PACS_LUA": str(SHARED / "tools" / "forward-ct.lua"),
        }
        subprocess.run([SHARED / "tools" / "pacs-up", self.folder / "pacs"], env=environment, check=True)

    def stop_pacs(self) -> None:
        subprocess.run([SHARED / "tools" / "pacs-up", "--stop", self.folder / "pacs"], check=True)

    def start_service(self) -> None:
        with (self.folder / "service.log").open("ab") as log:
            command = [sys.executable, "-m", "worker.cli", "serve", "--config", str(self.config)]
            self.service = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        wait_for(lambda: listens(self.node_port), 60, "the node listens")

    def stop_service(self) -> None:
        if self.service is not None:
            self.service.send_signal(signal.SIGTERM)
            self.service.wait(60)

    def send(self, folder: Path) -> None:
        """Send a folder to Orthanc as a scanner would, with dcmtk."""
        files = sorted(str(path) for path in folder.rglob("*.dcm"))
        subprocess.run(
            [STORESCU, "-aet", "TESTSCU", "-aec", "ORTHANC", "127.0.0.1", str(self.pacs_port), *files],
            env=os.environ | {"TCP_NODELAY": "1"},
            check=True,
            capture_output=True,
        )

    def orthanc(self, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", data, timeout=30) as answer:
            content = answer.read()
        return json.loads(content) if content else None

    def instances(self, modality: str) -> list[str]:
        """Return Orthanc's own ids of all instances of a modality."""
        query = {"Level": "Instance", "Query": {"Modality": modality}}
        return list(self.orthanc("/tools/find", query))

    def download(self, instance: str, path: Path) -> Path:
        url = f"http://127.0.0.1:{self.http_port}/instances/{instance}/file"
        with urllib.request.urlopen(url, timeout=30) as answer:
            path.write_bytes(answer.read())
        return path

    def forward_again(self, series_uid: str) -> None:
        """What a PACS does after a forwarding job that failed: send that series once more."""
        series = self.orthanc("/tools/find", {"Level": "Series", "Query": {"SeriesInstanceUID": series_uid}})
        self.orthanc("/modalities/node/store", {"Resources": series, "Synchronous": False})

    def answers(self) -> bool:
        """Say whether the node listens."""
        return listens(self.node_port)

    def jobs(self) -> list[dict[str, Any]]:
        command = [sys.executable, "-m", "worker.cli", "jobs", "--json", "--config", str(self.config)]
        return list(json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout))

    def states(self) -> list[str]:
        return [row["state"] for row in self.jobs()]

    def child(self, name: str) -> psutil.Process | None:
        """Return the service's child process: node, worker or redis."""
        assert self.service is not None
        for process in psutil.Process(self.service.pid).children():
            command = process.cmdline()
            if (name == "redis" and "redis" in command[0]) or name in command[2:4]:
                return process
        return None


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for(condition: Callable[[], object], timeout_s: float, what: str) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"not in {timeout_s} s: {what}"
        time.sleep(0.3)
