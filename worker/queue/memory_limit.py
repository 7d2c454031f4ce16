"""The limit of the memory that a job may take: a job that needs more fails, and not the machine.

RLIMIT_DATA of setrlimit(2) counts private memory that can be written, which exceeds what is used by a tenth (networks
of lung_tumour on a CPU, by OpenVINO and by torch). RLIMIT_AS also counts what is only reserved, as CUDA does by the
terabyte.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

_MB = 1024 * 1024
_SHARE = 0.75
_CGROUP = Path("/sys/fs/cgroup/memory.max")


def limit_memory(limit_mb: int) -> None:
    """Limit what this process may allocate from now on, in MiB; 0: to three quarters of the machine's memory.

    What is above it raises MemoryError. Does nothing but on Linux.
    """
    if sys.platform == "linux":
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        limit = _allocated() + (limit_mb * _MB or int(_SHARE * memory_of_machine()))
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def memory_of_machine() -> int:
    """Return the memory of this machine or container, in bytes."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(installed, int(_CGROUP.read_text()))
    except (OSError, ValueError):  # no control group, or no limit: max
        return installed


def _allocated() -> int:
    """Return what RLIMIT_DATA counts at present, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
