"""Sends series to a node while hundreds of hostile connections are open and renewed.

python -m tests.faults.strangers --seconds 300
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from benchmarks.receive import node
from tests.conftest import make_ct_instance
from tests.fixtures.dicom_node.echo_watch import EchoWatch
from tests.fixtures.dicom_node.pdus import association_request, pdu

ATTACKS = {
    "idle": b"",
    "half a request": association_request(called=b"NODE")[:60],
    "a request without end": pdu(1, bytes(1000), 1 << 17),
    "an unknown title": association_request(called=b"NODE", calling=b"STRANGER"),
    "garbage": b"GET / HTTP/1.1\r\nHost: node\r\n\r\n",
    "closed at once": None,
}
SENDERS, SLICES = 8, 12
_PAUSE_S = 0.02
"""Of each attacker between two connections: 300 of them open up to 15,000 a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened to the peers meanwhile."""

    sent: int
    """Series that were sent; each storescu ended well."""
    stored: int
    """Series that are complete in the inbox."""
    slowest_echo_s: float
    attacks: int
    memory_mb: float
    """Largest memory of the node."""


def withstand(folder: Path, *, seconds: float, series: int, hostile: int = 300) -> Outcome:
    """Run a node with hostile connections for some time, and send series to it all the while."""
    files = {number: _write_series(folder / "ct", number) for number in range(series)}
    with node(folder / "node") as (port, pid), _attack(port, hostile, seconds) as attack:
        with EchoWatch(port, pid) as watch, ThreadPoolExecutor(SENDERS) as senders:
            pause_s = max(seconds * SENDERS / series - 1, 0)
            sent = sum(senders.map(lambda paths: _send(paths, port, pause_s), files.values()))
        attack.wait(seconds + 60)
        assert attack.stdout is not None
        attacks = int(attack.stdout.read())
    stored = [len(list(each.glob("[!.]*.dcm"))) for each in (folder / "node" / "inbox").iterdir()]
    return Outcome(
        sent=sent,
        stored=stored.count(SLICES),
        slowest_echo_s=watch.slowest_echo_s,
        attacks=attacks,
        memory_mb=watch.memory_mb,
    )


def _write_series(folder: Path, number: int) -> list[Path]:
    uid, files = f"1.2.3.{number + 1}", []
    (folder / uid).mkdir(parents=True)
    for slice_number in range(1, SLICES + 1):
        files.append(folder / uid / f"{slice_number}.dcm")
        make_ct_instance(slice_number, uid, size=128).save_as(files[-1], enforce_file_format=True)
    return files


def _send(files: Sequence[Path], port: int, pause_s: float) -> bool:
    command = ["/usr/bin/storescu", "-aet", "SENDER", "-aec", "NODE", "127.0.0.1", str(port), *map(str, files)]
    done = subprocess.run(command, check=False, capture_output=True)
    time.sleep(pause_s)
    return done.returncode == 0


@contextlib.contextmanager
def _attack(port: int, hostile: int, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Run the attackers in a process of their own; it prints the number of their connections."""
    command = [sys.executable, "-m", "tests.faults.strangers", "--attack", str(port)]
    options = ["--hostile", str(hostile), "--seconds", str(seconds)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.terminate()


async def _attackers(port: int, hostile: int, seconds: float) -> int:
    until, kinds = time.monotonic() + seconds, itertools.cycle(ATTACKS.values())
    counts = await asyncio.gather(*(_renew(port, next(kinds), until) for _ in range(hostile)))
    return sum(counts)


async def _renew(port: int, sent: bytes | None, until: float) -> int:
    """Connect, send, and wait for the end of the connection, again and again; return how often."""
    count = 0
    while time.monotonic() < until:
        with contextlib.suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            count += 1
            try:
                if sent is not None:
                    writer.write(sent)
                    await asyncio.wait_for(reader.read(), max(until - time.monotonic(), 0.01))
            finally:
                writer.close()
        await asyncio.sleep(_PAUSE_S)
    return count


def main() -> None:
    """Print the outcome; exit with 1 if a series is missing, or an echo took more than a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--series", type=int, default=40)
    parser.add_argument("--hostile", type=int, default=300)
    parser.add_argument("--attack", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.attack:
        attacks = asyncio.run(_attackers(arguments.attack, arguments.hostile, arguments.seconds))
        sys.stdout.write(f"{attacks}\n")
        return
    with tempfile.TemporaryDirectory(prefix="strangers") as folder:
        outcome = withstand(Path(folder), seconds=arguments.seconds, series=arguments.series, hostile=arguments.hostile)
    sys.stdout.write(f"{outcome}\n")
    sys.exit(not (outcome.sent == outcome.stored == arguments.series and outcome.slowest_echo_s < 1))


if __name__ == "__main__":
    main()
