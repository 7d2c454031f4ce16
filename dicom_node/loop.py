"""A task of the node that is repeated in a thread of its own."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from dicom_node.clock import CLOCK
from dicom_node.errors import NodeError
from dicom_node.queue.reconciler import backoff_s

log = logging.getLogger(__name__)

POLL_INTERVAL_S = 0.5
_MAX_PAUSE_S = 60.0


class Loop:
    """Repeats a step at an interval, or at once when it is woken; after failures with exponential backoff.

    step: receives the time (UTC, seconds since 1970). It may raise anything: the loop goes on.
    """

    def __init__(self, name: str, step: Callable[[float], object], every_s: float = POLL_INTERVAL_S) -> None:
        self._name, self._step, self._every_s = name, step, every_s
        self._stopped, self._woken = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Run the step now, or once more after the one that is running."""
        self._woken.set()

    def stop(self) -> None:
        """Start no further step; the one that is running may take a while: see `is_running`."""
        self._stopped.set()
        self._woken.set()

    @property
    def is_running(self) -> bool:
        """Whether the thread has not ended."""
        return self._thread.is_alive()

    def _run(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            self._woken.clear()
            failures = 0 if self._succeeds() else failures + 1
            if not self._stopped.is_set():
                self._woken.wait(backoff_s(self._every_s, max(self._every_s, _MAX_PAUSE_S), failures))

    def _succeeds(self) -> bool:
        try:
            self._step(CLOCK.now())
        except NodeError as error:
            log.warning("%s: %s", self._name, error)
        except Exception as error:  # noqa: BLE001 - the loop's boundary: the loop must continue
            log.error("%s: unexpected %s", self._name, where(error))  # noqa: TRY400
        else:
            return True
        return False


def where(error: BaseException | None) -> str:
    """Return the type and place of an error; its text may quote patient data from a DICOM file."""
    places = traceback.extract_tb(error.__traceback__ if error is not None else None)
    place = f" at {Path(places[-1].filename).name}:{places[-1].lineno}" if places else ""
    return f"{type(error).__name__}{place}"
