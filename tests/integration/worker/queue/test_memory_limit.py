from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA is of Linux")

ALLOCATE = """
import sys
from worker.queue.memory_limit import limit_memory, memory_of_machine
loaded = bytearray(300 << 20)  # what was there before, as a loaded model, does not count
limit_memory(int(sys.argv[1]))
try:
    bytearray(eval(sys.argv[2]))
except MemoryError:
    print("too much")
else:
    print("fits")
"""


@pytest.mark.parametrize(
    ("limit_mb", "size", "says"),
    [
        (200, "100 << 20", "fits"),
        (200, "300 << 20", "too much"),
        (0, "100 << 20", "fits"),
        (0, "memory_of_machine() * 8 // 10", "too much"),
    ],
)
def test_a_process_may_allocate_its_limit_and_no_more(limit_mb: int, size: str, says: str) -> None:
    command = [sys.executable, "-c", ALLOCATE, str(limit_mb), size]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == says
