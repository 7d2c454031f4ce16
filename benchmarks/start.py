"""Time until the command, the node and the worker are ready: python -m benchmarks.start [--rounds 5] [--out FILE].

Each is started anew in a process of its own, with the files in the disk cache: `lungspread --help` until it ends; the
node until its port accepts a connection; the worker until Celery says that it is ready, with the released model loaded.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.row import Row, row_of, write_rows
from dicom_node.queue.redis_server import redis_url, server_command, wait_until_ready
from dicom_node.settings import QueueSettings
from tests.fixtures.ports import free_port

HELP_S, NODE_S, WORKER_S = 0.3, 1.0, 3.0
COMMAND = (sys.executable, "-m", "worker.cli")


def help_s() -> float:
    """Return the seconds of `lungspread --help`."""
    started = time.perf_counter()
    subprocess.run([*COMMAND, "--help"], check=True, capture_output=True)
    return time.perf_counter() - started


def node_s(config: Path, port: int) -> float:
    """Return the seconds until the node's port accepts a connection."""
    started = time.perf_counter()
    with _running("node", config):
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return time.perf_counter() - started
            time.sleep(0.01)


def worker_s(config: Path) -> float:
    """Return the seconds until the worker is ready."""
    started = time.perf_counter()
    with _running("worker", config) as process:
        assert process.stdout
        for line in process.stdout:
            if " ready" in line:
                return time.perf_counter() - started
    raise SystemExit("the worker ended before it was ready")


@contextmanager
def _running(command: str, config: Path) -> Iterator[subprocess.Popen[str]]:
    arguments = [*COMMAND, command, "--config", str(config)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        yield process
        process.terminate()


@contextmanager
def _redis(data_dir: Path) -> Iterator[None]:
    with subprocess.Popen(server_command(data_dir), stdout=subprocess.DEVNULL) as server:
        if not wait_until_ready(redis_url(QueueSettings(), data_dir), 10):
            raise SystemExit("Redis did not start")
        yield
        server.terminate()


def rows(rounds: int) -> list[Row]:
    """Measure everything."""
    with tempfile.TemporaryDirectory() as folder, _redis(Path(folder) / "var"):
        port, config = free_port(), Path(folder) / "lungspread.toml"
        config.write_text(f'[node]\nport = {port}\nhost = "127.0.0.1"\ndata_dir = "{folder}/var"\n')
        return [
            row_of("lungspread --help", "s", [help_s() for _ in range(rounds)], HELP_S),
            row_of("node ready", "s", [node_s(config, port) for _ in range(rounds)], NODE_S),
            row_of("worker ready", "s", [worker_s(config) for _ in range(rounds)], WORKER_S),
        ]


def main() -> None:
    """Print the rows, and write them as JSON if a file is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    write_rows(rows(options.rounds), options.out)


if __name__ == "__main__":
    main()
