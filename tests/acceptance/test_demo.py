"""`lungspread demo` as a new user runs it: two scans of one patient, compared with the ground truth."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from worker.demo.tables import ARROW

ROOT = Path(__file__).parent.parent.parent
WIDE = {"COLUMNS": "200"}
"""Prints each row of a table on one line."""


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the demo and its printed output."""
    out = tmp_path_factory.mktemp("demo") / "demo-out"
    command = [sys.executable, "-m", "worker.cli", "demo", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | WIDE)
    assert done.returncode == 0, done.stdout + done.stderr
    return out, done.stdout


def test_every_lesion_of_both_scans_is_found_and_measured_within_the_limits(demo: tuple[Path, str]) -> None:
    _, printed = demo
    assert "missed" not in printed
    assert "outside" not in printed
    assert printed.count("│ ok") == 3 + 4 + 4  # sizes on each scan, and timelines


def test_the_pacs_holds_a_seg_and_an_sr_of_each_scan(demo: tuple[Path, str]) -> None:
    out, _ = demo
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in (out / "pacs").glob("*.dcm")]
    kinds = [header.Modality for header in headers]
    assert kinds.count("SEG") == kinds.count("SR") == 2
    assert len({header.StudyInstanceUID for header in headers}) == 2
    assert len({header.PatientID for header in headers}) == 1


def test_the_comparison_is_printed_beside_the_ground_truth(demo: tuple[Path, str]) -> None:
    _, printed = demo
    results = {cells[1]: cells[-2] for cells in map(_cells, printed.splitlines()) if cells[1:2] and ARROW in cells[2]}
    assert {name: results.get(name) for name in ("grows", "shrinks", "stays", "new")} == dict.fromkeys(
        ("grows", "shrinks", "stays", "new"), "ok"
    )
    assert "RECIST 1.1, proposed: PD" in printed


def _cells(line: str) -> list[str]:
    cells = [cell.strip() for cell in line.split("│")]
    return cells if len(cells) > 3 else []


def test_pictures_and_pages_are_in_the_printed_folders(demo: tuple[Path, str]) -> None:
    out, printed = demo
    for name in ("baseline", "follow-up"):
        assert {path.name for path in (out / "pictures" / name).iterdir()} >= {
            "overview.png", "lesion-1.png", "report.png", "report.pdf",
        }  # fmt: skip
    assert (out / "pictures" / "follow-up" / "report-2.png").is_file()
    assert str(out / "pictures") in printed
    assert str(out / "pacs") in printed
    assert (out / "lungspread.toml").is_file()


def test_the_second_scan_was_compared_with_the_first(demo: tuple[Path, str]) -> None:
    out, _ = demo
    statements = [
        json.loads(path.read_text())["comparison"]["statement"] for path in (out / "var").rglob("findings.json")
    ]
    assert sorted(statements) == ["compared with a prior", "no prior exists"]


def test_no_log_and_no_path_contains_the_patients_name(demo: tuple[Path, str]) -> None:
    out, _ = demo
    assert "PHANTOM" not in (out / "service.log").read_text()
    assert not [path for path in out.rglob("*") if "PHANTOM" in path.name]
