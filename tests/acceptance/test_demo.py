"""`lungspread demo` as a new user runs it: the whole round on one machine, and a verdict."""

import subprocess
import sys
from pathlib import Path

import pydicom

ROOT = Path(__file__).parent.parent.parent


def test_the_demo_finds_every_lesion_and_measures_it_within_the_limits(tmp_path: Path) -> None:
    out = tmp_path / "demo-out"
    command = [sys.executable, "-m", "worker.cli", "demo", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "missed" not in done.stdout
    kinds = [pydicom.dcmread(path, stop_before_pixels=True).Modality for path in (out / "pacs").glob("*.dcm")]
    assert kinds.count("SEG") == kinds.count("SR") == 1
    assert {path.name for path in (out / "pictures").iterdir()} >= {"overview.png", "lesion-1.png"}
    assert (out / "lungspread.toml").is_file()
    assert "PHANTOM" not in (out / "service.log").read_text()  # no name in any log
