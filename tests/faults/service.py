"""`lungspread serve` with a stub in place of the network, in processes that are forked instead of started.

Node and worker run the code of their commands under the product's supervisor; a fork saves the imports, which take
longer than a history. The clock of all of them is the test's.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import typer

from dicom_node.network.status import configure_libraries
from dicom_node.storage.spool import sole_use
from models.registry import model_card
from models.segmenter import ModelCard, Progress
from models.volume import Mask, Volume
from tests.faults.clock import JumpingClock
from tests.fixtures.small_site import LUNG_HU, TUMOUR_HU
from worker.cli import supervisor
from worker.cli.node import node
from worker.queue import tasks
from worker.settings import load_settings

_LATE_IMPORTS = (
    "worker.pipeline",
    "dicom_node.dicomweb.server",
    "celery.apps.worker",
    "celery.concurrency.solo",
    "celery.loaders.app",
    "celery.worker.consumer",
    "kombu.transport.redis",
    "sqlalchemy.dialects.sqlite",
    "alembic.command",
)
"""What the processes would import one after the other."""
_PAUSES = 4
_PAUSE_S = 0.05
_RESTART_S = 0.3
_PR_SET_NAME = 15  # prctl(2)
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StubSegmenter:
    """A small real segmenter: what is denser than lung in a box around the tumour. It takes a fifth of a second."""

    card: ModelCard

    def segment(self, volume: Volume, progress: Progress) -> Mask:
        """Threshold half-way between lung and tumour."""
        for part in range(_PAUSES):
            time.sleep(_PAUSE_S)
            progress((part + 1) / _PAUSES)
        near = np.zeros(volume.hu.shape, bool)
        near[1:5, 8:16, 6:15] = True
        return Mask(voxels=near & (volume.hu > (LUNG_HU + TUMOUR_HU) / 2), affine=volume.affine)


@dataclass(slots=True)
class ForkedProcess:
    """A forked process with the methods of `subprocess.Popen` that the supervisor uses."""

    pid: int
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end. Raises subprocess.TimeoutExpired."""
        end = time.monotonic() + (timeout if timeout is not None else 1e9)
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired("forked", timeout or 0)
            time.sleep(0.01)
        return self.returncode or 0

    def terminate(self) -> None:
        """Send SIGTERM."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        os.kill(self.pid, signal.SIGKILL)


@dataclass(slots=True, kw_only=True)
class ForkedChild(supervisor.Child):
    """A child of the supervisor that is forked."""

    run: Callable[[], object] = field(default=lambda: 0)

    def start(self) -> ForkedProcess:  # type: ignore[override]
        """Fork, and run the function in a session of its own; it is killed when the supervisor ends."""
        self.process = forked(self.name, self.run)  # type: ignore[assignment]
        self.started_at = time.monotonic()
        return self.process  # type: ignore[return-value]


def forked(name: str, run: Callable[[], object]) -> ForkedProcess:
    """Run a function in a forked process that Linux kills when its parent ends, and lists by this name."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return ForkedProcess(pid)
    code = 1
    try:
        os.setsid()
        supervisor._die_with_parent(parent)()
        _LIBC.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        code = int(run() or 0)  # type: ignore[call-overload]
    except typer.Exit as ended:
        code = ended.exit_code
    except BaseException:  # noqa: BLE001 - a forked process must not return into the code of its parent
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def import_before_forking() -> None:
    """Import what node and worker import when they run."""
    for name in _LATE_IMPORTS:
        importlib.import_module(name)


def serve(config: Path, clock: JumpingClock) -> int:
    """Run the service until SIGTERM, with short pauses before a child is started again."""
    clock.install()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True)
    configure_libraries()
    logging.getLogger("highdicom").setLevel(logging.WARNING)
    supervisor._RESTART_PAUSE_S, supervisor._RESTART_PAUSE_MAX_S = 0.05, 0.5
    tasks._STALLED_AFTER_S = 12.0
    settings = load_settings(config)
    segmenter = StubSegmenter(card=model_card(settings.worker.model))
    with sole_use(settings.node.data_dir):
        children = [
            ForkedChild(name="node", command=(), run=partial(node, config)),
            ForkedChild(name="worker", command=(), run=partial(tasks.run_worker, settings, segmenter)),
        ]
        supervisor.supervise(supervisor._redis(settings.queue, settings.node.data_dir), children)
    return 0


def keep_serving(config: Path, clock: JumpingClock, log: Path) -> int:
    """Run the service, and start it again when it was killed, as systemd does."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    running = forked("service", partial(serve, config, clock))
    signal.signal(signal.SIGTERM, lambda *_: running.terminate())
    while running.wait() != 0:
        time.sleep(_RESTART_S)
        running = forked("service", partial(serve, config, clock))
    return 0
