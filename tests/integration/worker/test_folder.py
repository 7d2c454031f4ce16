from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.fixtures.worker.phantom_timeline import TrueSegmenter
from worker.folder import analyse_folder
from worker.settings import WorkerSettings


def test_results_replace_all_earlier_results_and_no_other_file(analysed: Callable[..., Any], tmp_path: Path) -> None:
    analysed([])
    out = tmp_path / "out"
    out.mkdir()
    for name in ("findings.json", "report.png", "report-2.png", "report-3.png", "seg.dcm", "notes.txt"):
        (out / name).write_text("of an earlier run")

    analyse_folder(tmp_path / "ct", out, WorkerSettings(), TrueSegmenter(lesions=()), lambda _: None)

    unchanged = {path.name for path in out.iterdir() if path.read_bytes() == b"of an earlier run"}
    assert unchanged == {"notes.txt"}
    assert {"findings.json", "report.png"} <= {path.name for path in out.iterdir()}
    assert not (out / "report-2.png").exists()
