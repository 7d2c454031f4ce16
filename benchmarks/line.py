"""From the last C-STORE to the committed SR: python -m benchmarks.line [--rounds 5] [--out FILE].

The demo's PACS and service, with a small generated scan of another patient in each round. A round's value is the time
from the answer of the last C-STORE until the journal has the job as committed, without the quiet period and without the
analysis itself (from claim to results on disk). What is left is waiting: loops, queue, delivery and commitment.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from benchmarks.row import Row, row_of, write_rows
from dicom_node.jobs import JobState
from dicom_node.journal.journal import Journal
from worker.demo.stack import DemoFolders, DemoStack, start_stack
from worker.phantom.chest import PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series

BEYOND_S = 1.0
LIMIT_S = 300.0
SPEC = PhantomSpec(shape=(24, 256, 256), spacing_mm=(5.0, 1.4, 1.4))


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """Seconds since the last C-STORE at which the journal showed each state first."""

    by_state: dict[JobState, float]

    def between(self, first: JobState, last: JobState) -> float:
        """Return the seconds from one state to another."""
        return self.by_state[last] - self.by_state[first]


def main() -> None:
    """Print a row for the whole and for each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folders = DemoFolders(out=Path(folder))
        with start_stack(folders) as stack:
            rounds = [_round(stack, Path(folder) / f"ct-{number}", number) for number in range(options.rounds + 1)]
            quiet_s = stack.settings.node.quiet_period_s
    write_rows(_rows(rounds[1:], quiet_s), options.out)  # in the first round the worker may still be starting


def _round(stack: DemoStack, folder: Path, number: int) -> Times:
    files = write_series(folder, chest_phantom(SPEC), f"round {number}")
    for file in files:
        image = dcmread(file)
        image.PatientID = f"PH-{number:04}"  # no earlier scans: fetching them is a stage of its own
        image.save_as(file)
    series_uid = str(dcmread(files[0]).SeriesInstanceUID)
    for _ in stack.send(files):
        pass
    return _watch(stack, series_uid)


def _watch(stack: DemoStack, series_uid: str) -> Times:
    """Look at the journal until the job of the series is committed; often, but the PACS runs in this process, too."""
    begin = time.time()
    seen: dict[JobState, float] = {}
    with Journal(stack.settings.journal.url_in(stack.settings.node.data_dir)) as journal:
        while JobState.COMMITTED not in seen:
            for record in journal.jobs.find():
                if record.job.series_uid == series_uid:
                    seen.setdefault(JobState.QUEUED, record.created_at - begin)
                    seen.setdefault(record.state, time.time() - begin)
            if time.time() - begin > LIMIT_S:
                raise SystemExit(f"not committed after {LIMIT_S:.0f} s, seen: {', '.join(seen)}")
            time.sleep(0.05)
    return Times(by_state=seen)


def _rows(rounds: Sequence[Times], quiet_s: float) -> list[Row]:
    queued = [times.by_state[JobState.QUEUED] - quiet_s for times in rounds]
    started = [times.between(JobState.QUEUED, JobState.RUNNING) for times in rounds]
    analysed = [times.between(JobState.RUNNING, JobState.ANALYSED) for times in rounds]
    committed = [times.between(JobState.ANALYSED, JobState.COMMITTED) for times in rounds]
    beyond = [sum(parts) for parts in zip(queued, started, committed, strict=True)]
    return [
        row_of("last C-STORE to committed, beyond the stages", "s", beyond, BEYOND_S),
        row_of("  quiet period over to queued", "s", queued, None),
        row_of("  queued to claimed by the worker", "s", started, None),
        row_of("  analysis", "s", analysed, None),
        row_of("  results on disk to committed", "s", committed, None),
    ]


if __name__ == "__main__":
    main()
