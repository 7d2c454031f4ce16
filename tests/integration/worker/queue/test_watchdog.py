from __future__ import annotations

import subprocess
import sys

from worker.queue.watchdog import Watchdog

DEAF_WORKER = """
import time
from worker.queue.watchdog import Hearing, exit_when_stalled
exit_when_stalled(Hearing(0.5), lambda: 3, lambda: (7, False))
time.sleep(30)
"""


def test_a_worker_that_hears_nothing_while_messages_wait_is_deaf() -> None:
    watchdog = Watchdog(90.0)

    looks = [watchdog.is_stalled(waiting=1, heard=4, busy=False, now=now) for now in (0.0, 60.0, 89.0, 90.0)]

    assert looks == [False, False, False, True]


def test_a_worker_is_not_deaf_that_is_busy_or_hears_or_has_nothing_to_hear() -> None:
    watchdog = Watchdog(90.0)

    assert not watchdog.is_stalled(waiting=1, heard=0, busy=False, now=0.0)
    assert not watchdog.is_stalled(waiting=1, heard=1, busy=True, now=80.0)
    assert not watchdog.is_stalled(waiting=5, heard=1, busy=True, now=1000.0)
    assert not watchdog.is_stalled(waiting=4, heard=2, busy=False, now=1001.0)
    assert not watchdog.is_stalled(waiting=4, heard=3, busy=False, now=1091.5)
    assert not watchdog.is_stalled(waiting=0, heard=3, busy=False, now=2000.0)
    assert not watchdog.is_stalled(waiting=1, heard=3, busy=False, now=2050.0)
    assert watchdog.is_stalled(waiting=1, heard=3, busy=False, now=2090.0)


def test_a_deaf_worker_process_ends_by_itself() -> None:
    ended = subprocess.run([sys.executable, "-c", DEAF_WORKER], timeout=20, check=False, capture_output=True)

    assert ended.returncode == 1
