"""A slice of the fault campaign, and that it notices what it looks for. The campaign itself is `make faults`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_a_slice_of_the_fault_campaign_loses_doubles_and_forgets_nothing(tmp_path: Path) -> None:
    seeds = ["1000000", "1000001", "1000005", "1000012", "1000019"]
    command = [sys.executable, "-m", "tests.faults", "--without-mounts", "--sites", "5", "--out", str(tmp_path)]

    done = subprocess.run([*command, "--only", *seeds], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    histories, _, acknowledged, *wrong = done.stdout.splitlines()[-2].removeprefix("all").split()
    assert (histories, wrong) == ("5", ["0"] * 4)
    assert int(acknowledged) >= 5 * 6
