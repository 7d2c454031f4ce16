from __future__ import annotations

import subprocess
import sys

from worker.queue.watchdog import Watchdog

STALLED_WORKER = """
import time
from worker.queue.watchdog import Watchdog, exit_when_stalled
exit_when_stalled(Watchdog(0.5), lambda: 3, lambda: (7, False))
time.sleep(30)
"""


def test_an_idle_worker_that_receives_none_of_the_queued_messages_is_stalled() -> None:
    watchdog = Watchdog(90.0)

    stalled = [watchdog.is_stalled(waiting=1, received=4, busy=False, now=now) for now in (0.0, 60.0, 89.0, 90.0)]

    assert stalled == [False, False, False, True]


def test_a_worker_that_is_busy_or_receives_messages_or_has_an_empty_queue_is_not_stalled() -> None:
    watchdog = Watchdog(90.0)

    assert not watchdog.is_stalled(waiting=1, received=0, busy=False, now=0.0)
    assert not watchdog.is_stalled(waiting=1, received=1, busy=True, now=80.0)
    assert not watchdog.is_stalled(waiting=5, received=1, busy=True, now=1000.0)
    assert not watchdog.is_stalled(waiting=4, received=2, busy=False, now=1001.0)
    assert not watchdog.is_stalled(waiting=4, received=3, busy=False, now=1091.5)
    assert not watchdog.is_stalled(waiting=0, received=3, busy=False, now=2000.0)
    assert not watchdog.is_stalled(waiting=1, received=3, busy=False, now=2050.0)
    assert watchdog.is_stalled(waiting=1, received=3, busy=False, now=2090.0)


def test_a_stalled_worker_process_exits() -> None:
    ended = subprocess.run([sys.executable, "-c", STALLED_WORKER], timeout=20, check=False, capture_output=True)

    assert ended.returncode == 1
    assert b"messages are queued" in ended.stderr
