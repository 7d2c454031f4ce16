"""Reports of one patient's scans as a test needs them: findings.json files whose comparisons are told by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from tests.worker.drawn_scans import findings, standing
from tests.worker.hand_comparisons import STORY, Told, compared
from worker.comparison import Comparison
from worker.course_report import Report, read_report
from worker.outputs.findings_json import write_findings


def write_report(folder: Path, days: int, comparison: Comparison | None) -> Path:
    """Write the findings.json of the scan of this day: two lesions, and this comparison."""
    folder.mkdir(parents=True, exist_ok=True)
    made = replace(
        findings(*standing()),
        job_key=key(days),
        study_uid=f"1.2.1.{days}",
        series_uid=f"1.2.2.{days}",
        comparison=comparison,
    )
    write_findings(made, folder / "findings.json")
    return folder / "findings.json"


def report(folder: Path, days: int, comparison: Comparison | None) -> Report:
    return read_report(write_report(folder / str(days), days, comparison))


def key(days: int) -> str:
    return sha256(str(days).encode()).hexdigest()


def window(days: Sequence[int], story: Sequence[Told] = STORY) -> Comparison:
    """The story as the scan of the last of these days tells it, which was compared with the others alone."""
    told = []
    for lesion in story:
        seen = {day: what for day, what in lesion.seen.items() if day in days}
        if seen and min(lesion.seen) <= days[-1]:
            told.append(replace(lesion, seen=seen, event=lesion.event if max(lesion.seen) == days[-1] else None))
    return compared(told, days)
