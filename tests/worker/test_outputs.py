from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worker.outputs import OUTPUTS, encode
from worker.outputs.sr import encode_refusal

BIN = Path(sys.executable).parent
VALIDATOR = Path(__file__).parents[3] / "shared" / "tools" / "validate-dicom"

Made = Any  # an Analysed of conftest.py
Analyse = Callable[..., Made]

ONE = [np.s_[3:7, 5:12, 4:20]]
FIVE = [np.s_[1:4, 2:8, 2:9], np.s_[1:3, 20:24, 5:9], np.s_[5:9, 12:15, 20:30], np.s_[8:9, 30:31, 3:4],
        np.s_[6:11, 33:38, 30:34]]  # fmt: skip
SCANS = {
    "head first": {},
    "feet first": {"orientation": (-1, 0, 0, 0, 1, 0)},
    "pixels that are not square": {"spacing_mm": (3.0, 0.6, 1.1)},
    "tilted gantry": {"lean_mm": (0.0, 0.8, 0.0), "orientation": (1, 0, 0, 0, 0.955336, 0.29552)},
}


def saved(made: Made, folder: Path) -> list[Path]:
    files = []
    for name, document in encode(made.findings, made.series.datasets, tuple(OUTPUTS)).items():
        files.append(folder / f"{name}.dcm")
        document.save_as(files[-1], enforce_file_format=True)
    return files


def test_the_seg_is_encoded_before_the_sr_that_refers_to_it(analysed: Analyse) -> None:
    made = analysed(ONE)

    assert list(encode(made.findings, made.series.datasets, ("sr", "seg"))) == ["seg", "sr"]
    assert list(encode(made.findings, made.series.datasets, ("sr",))) == ["sr"]
    assert encode(made.findings, made.series.datasets, ()) == {}


def complaints(file: Path) -> list[str]:
    """What dciodvfy finds wrong."""
    done = subprocess.run(["/usr/bin/dciodvfy", str(file)], capture_output=True, text=True, check=False)
    return [line for line in done.stderr.splitlines() if line.startswith(("Error", "Warning"))]


@pytest.mark.skipif(not Path("/usr/bin/dciodvfy").exists(), reason="dicom3tools are not installed")
@pytest.mark.parametrize("boxes", [[], ONE, FIVE], ids=["none", "one", "five"])
@pytest.mark.parametrize("scan", SCANS.values(), ids=SCANS.keys())
def test_dciodvfy_finds_nothing(analysed: Analyse, tmp_path: Path, boxes: list[Any], scan: dict[str, Any]) -> None:
    made = analysed(boxes, **scan)
    encode_refusal("c" * 64, "why", made.findings.card, made.series.datasets).save_as(tmp_path / "refusal.dcm")

    for file in (*saved(made, tmp_path), tmp_path / "refusal.dcm"):
        assert complaints(file) == []


@pytest.mark.skipif(not VALIDATOR.exists(), reason="the validators of ../shared are not here")
@pytest.mark.parametrize("boxes", [[], FIVE], ids=["none", "five"])
def test_all_validators_together_accept_ct_and_results(analysed: Analyse, tmp_path: Path, boxes: list[Any]) -> None:
    made = analysed(boxes)
    files = [*made.ct_files[:2], *saved(made, tmp_path)]

    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        [str(VALIDATOR), *map(str, files)], capture_output=True, text=True, check=False, cwd=tmp_path, env=environment
    )

    assert done.returncode == 0, done.stdout
