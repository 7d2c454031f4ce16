from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.worker.analysed_series import TWO_SPACINGS
from tests.fixtures.worker.described import described
from tests.fixtures.worker.measured import report_of
from tests.fixtures.worker.reading import BIN, FIVE, ONE, Made, saved
from worker.outputs.dicom.source import source_of
from worker.outputs.dicom.sr.report import encode_rejection
from worker.outputs.encode import encode

VALIDATOR = Path(__file__).parents[5] / "shared" / "tools" / "validate-dicom"
# The list of private coding schemes in dciodvfy lacks ours. PS3.16, 8: a private one begins with 99.
OWN_CODES = "Warning - Unrecognized defined term <99LUNGSPREAD> for value 1 of attribute <Coding Scheme Designator>"

Analyse = Callable[..., Made]

SCANS = {
    "head first": {},
    "feet first": {"orientation": (-1, 0, 0, 0, 1, 0)},
    "pixels that are not square": {"spacing_mm": (3.0, 0.6, 1.1)},
    "tilted gantry": {"lean_mm": (0.0, 0.8, 0.0), "orientation": (1, 0, 0, 0, 0.955336, 0.29552)},
    **TWO_SPACINGS,
}


def test_the_seg_is_encoded_before_the_sr_that_refers_to_it(analysed: Analyse) -> None:
    case = analysed(ONE)

    assert list(encode(report_of(case.findings), source_of(case.series), ("sr", "seg"))) == ["seg", "sr"]
    assert list(encode(report_of(case.findings), source_of(case.series), ("sr",))) == ["sr"]
    assert encode(report_of(case.findings), source_of(case.series), ()) == {}


def complaints(file: Path) -> list[str]:
    """Errors and warnings of dciodvfy, without those on private codes."""
    done = subprocess.run(["/usr/bin/dciodvfy", str(file)], capture_output=True, text=True, check=False)
    return [line for line in done.stderr.splitlines() if line.startswith(("Error", "Warning")) and line != OWN_CODES]


@pytest.mark.skipif(not Path("/usr/bin/dciodvfy").exists(), reason="dicom3tools are not installed")
@pytest.mark.parametrize("boxes", [[], ONE, FIVE], ids=["none", "one", "five"])
@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS.keys())
def test_dciodvfy_finds_nothing(analysed: Analyse, tmp_path: Path, boxes: list[Any], scan: dict[str, Any]) -> None:
    case = analysed(boxes, **scan)
    encode_rejection("c" * 64, "why", case.findings.card, source_of(case.series)).save_as(tmp_path / "rejection.dcm")

    for findings in (case.findings, described(case.findings)):
        for file in (*saved(case, tmp_path, findings=findings).values(), tmp_path / "rejection.dcm"):
            assert complaints(file) == []


@pytest.mark.skipif(not VALIDATOR.exists(), reason="the validators of ../shared are not installed")
@pytest.mark.parametrize("boxes", [[], FIVE], ids=["none", "five"])
def test_all_validators_together_accept_ct_and_results(analysed: Analyse, tmp_path: Path, boxes: list[Any]) -> None:
    case = analysed(boxes)
    files = [*case.ct_files[:2], *saved(case, tmp_path, findings=described(case.findings)).values()]

    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        [str(VALIDATOR), *map(str, files)], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )

    lines = done.stdout.splitlines()
    sr = tmp_path / "sr.dcm"
    assert [line for line in lines if line.startswith("FAIL")] in ([], [f"FAIL  dciodvfy  {sr} (status 0)"])
    assert not [line for line in lines if line.startswith(" ") and OWN_CODES not in line]
    assert f"ok    tid1500reader  {sr}" in lines
    assert f"ok    dcentvfy  ({len(files)} files)" in lines
