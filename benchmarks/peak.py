"""Runs a module and prints its peak memory in MB as the last line: python -m benchmarks.peak MODULE [ARGUMENT...].

By the kernel's VmHWM, which begins anew with each program; what wait4 returns includes the process that started it.
"""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path


def peak_mb(*command: str) -> float:
    """Run a module with arguments in a process of its own, and return its largest resident set in MB."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.peak", *command], check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}")
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    """Run the module, then print the peak; its exit code is kept."""
    module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    code: object = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        code = ended.code
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("VmHWM:"))
    print(int(kilobytes) / 1024, flush=True)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
