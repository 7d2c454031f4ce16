"""Time of the step from mask to page within the pipeline: python -m benchmarks.step [--slices 300] [--lesions 20].

A phantom of 512 x 512 pixels with --lesions lesions, as a DICOM series in the disk cache, runs through the pipeline
once: load, segment, then measure (lungs, lesions, measurements, extent, intervals) and draw the page, then encode.
Printed are the time of each part and its share of the total. From mask to page the limit is a tenth of the total.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK

from benchmarks.row import row_of, write_rows
from models.lungs.outline import find_lung_air, outline_lungs
from models.registry import load_model
from models.segmenter import ON_CPU
from models.volume import Mask
from training.data.datasets import lesion_mask
from worker.ct.reader import load
from worker.findings import Findings
from worker.follow_up.comparison import Comparison, ComparisonStatus
from worker.outputs.dicom.seg import label_array
from worker.outputs.dicom.source import source_of
from worker.outputs.encode import encode
from worker.outputs.json.write import write_findings
from worker.outputs.page.page import write_page
from worker.phantom.chest import Phantom, PhantomLesion, PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series
from worker.pipeline import find
from worker.report import Report

sitk: Any = SimpleITK  # untyped

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


def run(slices: int, count: int, folder: Path) -> tuple[Clock, Findings]:
    """Run the pipeline once and return the time of each part, and the findings. The CT is written to folder/ct."""
    phantom = chest(slices, count)
    files = write_series(folder / "ct", phantom)
    segmenter, clock = load_model("lung_tumour", ON_CPU), Clock()
    with clock.part("load"):
        series = load(files)
    with clock.part("segment"):
        segmenter.segment(series.volume, lambda _: None)
    mask = Mask(voxels=lesion_mask(phantom), affine=series.volume.affine)  # the true lesions, independent of the model
    with clock.part("measure"):
        findings = find(series, mask, outline_lungs(find_lung_air(series.volume)), segmenter.card, JOB_KEY)
    with clock.part("page"):
        report = Report(findings=findings, comparison=NOT_COMPARED)
        write_page(report, folder)
    with clock.part("encode"):
        write_findings(report, folder / "findings.json")
        documents = encode(report, source_of(series), ("seg", "sr"))
    documents["seg"].save_as(folder / "ours.dcm", enforce_file_format=True)
    if len(findings.findings) != count:
        raise SystemExit(f"{len(findings.findings)} lesions were measured, expected {count}")
    return clock, findings


def dcmqi_seg(findings: Findings, ct: Path, folder: Path) -> Path | None:
    """Encode the same lesions by dcmqi, and return its file; None if it is not installed."""
    program = Path(sys.executable).with_name("itkimage2segimage")
    if not program.exists():
        return None
    affine, labels = findings.volume.affine, sitk.GetImageFromArray(label_array(findings))
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    labels.SetSpacing(spacing[::-1].tolist())
    labels.SetOrigin(affine[:3, 3].tolist())
    labels.SetDirection((affine[:3, :3] / spacing)[:, ::-1].ravel().tolist())
    sitk.WriteImage(labels, str(folder / "labels.nrrd"))
    code = {"CodeValue": "108369006", "CodingSchemeDesignator": "SCT", "CodeMeaning": "Neoplasm"}
    segments = [
        {
            "labelID": finding.lesion.number,
            "SegmentDescription": f"Lesion {finding.lesion.number}",
            "SegmentAlgorithmType": "AUTOMATIC",
            "SegmentAlgorithmName": "benchmark",
            "SegmentedPropertyCategoryCodeSequence": code,
            "SegmentedPropertyTypeCodeSequence": code,
        }
        for finding in findings.findings
    ]
    series = {"ContentCreatorName": "Benchmark", "SeriesDescription": "lesions", "SeriesNumber": "300"}
    (folder / "segments.json").write_text(json.dumps(series | {"segmentAttributes": [segments]}))
    options = {
        "--inputImageList": folder / "labels.nrrd",
        "--inputDICOMDirectory": ct,
        "--inputMetadata": folder / "segments.json",
        "--outputDICOM": folder / "dcmqi.dcm",
    }
    command = [str(program), *(str(part) for option in options.items() for part in option)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "dcmqi.dcm"


def main() -> None:
    """Print the table; exit 1 if the step takes more than its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--lesions", type=int, default=20)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clock, findings = run(options.slices, options.lesions, Path(folder))
        peer = dcmqi_seg(findings, Path(folder) / "ct", Path(folder))
        ours = (Path(folder) / "ours.dcm").stat().st_size
        sizes = [ours / peer.stat().st_size] if peer else []
    total = sum(clock.seconds.values())
    goals = {"encode": ENCODE_S}
    workload = f"{options.lesions} lesions in {options.slices} slices"
    rows = [row_of(f"{name}, {workload}", "s", [seconds], goals.get(name)) for name, seconds in clock.seconds.items()]
    if sizes:
        rows.append(row_of(f"SEG file over dcmqi's, {workload}", "times", sizes, 1.0))
    else:
        print("dcmqi is not installed")
    write_rows(rows, options.out)
    step = (clock.seconds["measure"] + clock.seconds["page"]) / total
    print(f"from mask to page: {100 * step:.1f} % of {total:.1f} s, {workload}")
    if step > LIMIT:
        raise SystemExit(f"more than {100 * LIMIT:.0f} %")


if __name__ == "__main__":
    main()
