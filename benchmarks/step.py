"""Time of the step from mask to page within the pipeline: python -m benchmarks.step [--slices 300] [--lesions 20].

A phantom of 512 x 512 pixels with --lesions lesions, as a DICOM series in the disk cache, runs through the pipeline
once: load, segment, then measure (lungs, lesions, measurements, extent, intervals) and draw the page, then encode.
Printed are the time of each part and its share of the total. From mask to page the limit is a tenth of the total.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.row import row_of, write_rows
from models.registry import load_model
from models.segmenter import ON_CPU
from models.volume import Mask
from training.data.datasets import lesion_mask
from worker.ct.reader import load
from worker.follow_up.comparison import Comparison, ComparisonStatus
from worker.outputs.encode import encode
from worker.outputs.json.write import write_findings
from worker.outputs.page.page import write_page
from worker.phantom.chest import Phantom, PhantomLesion, PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series
from worker.pipeline import find
from worker.report import Report

JOB_KEY = "0" * 64
LIMIT = 0.10
ENCODE_S = 1.0


def lesions(count: int) -> tuple[PhantomLesion, ...]:
    """Return lesions of 6 to 30 mm, spread evenly over both lungs."""
    rng = np.random.default_rng(1)
    found = []
    for number in range(count):
        side = -1.0 if number % 2 else 1.0
        size = float(rng.uniform(3, 15))
        centre = (side * float(rng.uniform(60, 100)), float(rng.uniform(-40, 40)), -90.0 + 180.0 * number / count)
        found.append(PhantomLesion(centre_mm=centre, half_axes_mm=(size, size * 0.8, size)))
    return tuple(found)


NOT_COMPARED = Comparison(
    statement=ComparisonStatus.NOT_QUERIED, reason=None, scans=(), registration=None, lesions=(), recist=None
)


class Clock:
    """Sums the time of named parts."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time of a `with` block to this part."""
        started = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


def chest(slices: int, count: int) -> Phantom:
    """Return a chest of 240 mm in slices of 512 x 512 pixels, with this many lesions."""
    return chest_phantom(
        PhantomSpec(shape=(slices, 512, 512), spacing_mm=(240 / slices, 0.7, 0.7), lesions=lesions(count))
    )


def run(slices: int, count: int, folder: Path) -> Clock:
    """Run the pipeline once and return the time of each part."""
    phantom = chest(slices, count)
    files = write_series(folder, phantom)
    segmenter, clock = load_model("lung_tumour", ON_CPU), Clock()
    with clock.part("load"):
        series = load(files)
    with clock.part("segment"):
        segmenter.segment(series.volume, lambda _: None)
    mask = Mask(voxels=lesion_mask(phantom), affine=series.volume.affine)  # the true lesions, independent of the model
    with clock.part("measure"):
        findings = find(series, mask, segmenter.card, JOB_KEY)
    with clock.part("page"):
        report = Report(findings=findings, comparison=NOT_COMPARED)
        write_page(report, folder)
    with clock.part("encode"):
        write_findings(report, folder / "findings.json")
        encode(report, series.datasets, ("seg", "sr"))
    if len(findings.findings) != count:
        raise SystemExit(f"{len(findings.findings)} lesions were measured, expected {count}")
    return clock


def main() -> None:
    """Print the table; exit 1 if the step takes more than its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--lesions", type=int, default=20)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clock = run(options.slices, options.lesions, Path(folder))
    total = sum(clock.seconds.values())
    goals = {"encode": ENCODE_S}
    workload = f"{options.lesions} lesions in {options.slices} slices"
    write_rows(
        [row_of(f"{name}, {workload}", "s", [seconds], goals.get(name)) for name, seconds in clock.seconds.items()],
        options.out,
    )
    step = (clock.seconds["measure"] + clock.seconds["page"]) / total
    print(f"from mask to page: {100 * step:.1f} % of {total:.1f} s, {workload}")
    if step > LIMIT:
        raise SystemExit(f"more than {100 * LIMIT:.0f} %")


if __name__ == "__main__":
    main()
