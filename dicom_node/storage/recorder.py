"""Writes the journal's rows of stored instances, many in one transaction, in a thread of its own.

A row for each instance, before its C-STORE response, takes longer than writing its file. The file makes an instance
durable; what was not recorded before the process ended is recorded at start (`InstanceReceiver.record_missing`).
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field, replace
from itertools import groupby

from dicom_node.clock import CLOCK
from dicom_node.errors import JournalUnavailable
from dicom_node.journal.series import SeriesJournal
from dicom_node.series import Instance
from dicom_node.storage.encoded_file import Encoded, sha256_of

log = logging.getLogger(__name__)

_MOST_WAITING = 32
"""Instances whose content is in memory until it is hashed: 16 MB of 512 x 512 pixels."""
_MOST_ROWS = 500
_GATHER_S = 0.05
"""How long an instance waits for others to share its transaction."""
_RETRY_S = 0.5
_PATIENCE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredInstance:
    """An instance whose file is on disk; its hash is computed when it is recorded."""

    instance: Instance
    data_set: Encoded
    """As it was encoded."""
    is_fetched: bool
    is_repair: bool = False
    """Whether its file was not there before, or not what was received."""
    is_awaited: bool = False
    """Whether the caller waits for its row; then no others are waited for."""
    recorded: Future[None] = field(default_factory=Future)
    """Done after its row was written; JournalUnavailable if that failed once (it is tried again)."""


class InstanceRecorder:
    """Records stored instances in the order in which they were added, until it is closed; thread-safe."""

    def __init__(self, series: SeriesJournal) -> None:
        self._series = series
        self._waiting: queue.Queue[StoredInstance | None] = queue.Queue(_MOST_WAITING)
        self._adding = threading.Lock()
        self._last: Future[None] | None = None
        self._failed = False
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def require_available(self) -> None:
        """Raise JournalUnavailable while the journal does not take rows."""
        if self._failed:
            raise JournalUnavailable("the journal does not respond: received instances wait to be recorded")

    def add(self, stored: StoredInstance) -> None:
        """Record an instance soon; the caller waits while too many others do. Raises JournalUnavailable."""
        try:
            with self._adding:  # the last one of `flush` is the last one of the queue, and none comes after `close`
                if self._closed.is_set():
                    raise JournalUnavailable("no more instances are recorded")
                self._start()
                self._waiting.put(stored, timeout=_PATIENCE_S)
                self._last = stored.recorded
        except queue.Full:
            raise JournalUnavailable(f"{_MOST_WAITING} received instances wait to be recorded") from None

    def flush(self) -> None:
        """Wait until all instances that were added are recorded. Raises JournalUnavailable."""
        if self._last is not None:
            wait([self._last])
            self.require_available()

    def close(self) -> None:
        """Record what was added, and end; a journal that does not respond is waited for 10 s at most."""
        with self._adding:
            self._closed.set()
            if self._thread is not None:
                self._waiting.put(None)
        if self._thread is not None:
            self._thread.join(_PATIENCE_S)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="record instances", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        is_open = True
        while is_open:
            group, is_open = self._next_group()
            while not self._record(group) and not self._closed.wait(_RETRY_S):
                pass

    def _next_group(self) -> tuple[list[StoredInstance], bool]:
        """Wait for an instance, and return it, hashed, with those that arrive soon after; False after the last one."""
        group: list[StoredInstance] = []
        until = math.inf
        while len(group) < _MOST_ROWS:
            try:
                stored = self._waiting.get(timeout=None if not group else max(until - time.monotonic(), 0))
            except queue.Empty:
                break
            if stored is None:
                return group, False
            group.append(_hashed(stored))
            until = 0.0 if stored.is_awaited else min(until, time.monotonic() + _GATHER_S)
        return group, True

    def _record(self, group: Sequence[StoredInstance]) -> bool:
        """Write the rows of a group, in one transaction per origin; False if the journal is unavailable."""
        try:
            for is_fetched, found in groupby(group, key=lambda stored: stored.is_fetched):
                part = list(found)
                repaired = {stored.instance.sop_instance_uid for stored in part if stored.is_repair}
                instances = [stored.instance for stored in part]
                self._series.record_instances(instances, CLOCK.now(), is_fetched=is_fetched, repaired=repaired)
        except Exception as error:  # noqa: BLE001 - the thread's boundary: whatever it is, the rows are tried again
            if not self._failed:
                what = error if isinstance(error, JournalUnavailable) else type(error).__name__
                log.error("%d received instances are not recorded yet: %s", len(group), what)  # noqa: TRY400
            self._failed = True
            _finish(group, JournalUnavailable("the journal does not respond"))
            return False
        self._failed = False
        _finish(group, None)
        return True


def _hashed(stored: StoredInstance) -> StoredInstance:
    sha256 = sha256_of(stored.data_set)
    return replace(stored, instance=replace(stored.instance, data_set_sha256=sha256), data_set=b"")


def _finish(group: Sequence[StoredInstance], error: JournalUnavailable | None) -> None:
    for stored in group:
        if not stored.recorded.done():
            stored.recorded.set_exception(error) if error else stored.recorded.set_result(None)
