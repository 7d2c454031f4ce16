"""Whether time grows in proportion: python -m benchmarks.growth [--out FILE].

Receive, load, segment, measure and encode series of 75 to 1,200 slices, and keep a journal of 10 to 10,000 series. A
row is the time of the largest size over the time that it would have if it grew in proportion from the middle one. The
smallest sizes are printed too; they hold what does not depend on the size.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.receive import node, send, write_series
from benchmarks.row import Row, row_of, write_rows
from benchmarks.step import NOT_COMPARED, chest
from dicom_node.journal.journal import Journal
from dicom_node.queue.assembler import assemble
from dicom_node.selection.selector import every_series
from dicom_node.series import Instance
from models.lungs.outline import find_lung_air, outline_lungs
from models.registry import load_model
from models.segmenter import ON_CPU, Segmenter
from models.volume import Mask
from training.data.datasets import lesion_mask
from worker.ct.reader import load
from worker.outputs.dicom.source import source_of
from worker.outputs.encode import encode
from worker.phantom import dicom
from worker.phantom.chest import Phantom
from worker.pipeline import find
from worker.report import Report

SLICES = (75, 150, 300, 600, 1200)
SERIES = (10, 100, 1000, 10000)
COMPARED = {"slices": (300, 1200), "series": (1000, 10000)}
BASE, LESIONS = 300, 2
IN_PROPORTION = 1.2
"""Goal: at most a fifth above proportion."""
JOB_KEY = "0" * 64

Seconds = dict[str, dict[int, float]]
"""Seconds by part and size."""


def main() -> None:
    """Print a row for each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    slices: Seconds = {}
    segmenter, whole = load_model("lung_tumour", ON_CPU), chest(BASE, LESIONS)
    for count in SLICES:
        with tempfile.TemporaryDirectory() as folder:
            _analyse(in_slices(whole, count), Path(folder), segmenter, slices)
            _receive(count, Path(folder), slices)
    series: Seconds = {}
    for count in SERIES:
        with tempfile.TemporaryDirectory() as folder:
            _journal(count, Path(folder), series)
    rows = [_row(part, "slices", times) for part, times in slices.items()]
    write_rows(rows + [_row(part, "series", times) for part, times in series.items()], options.out)


def in_slices(chest: Phantom, count: int) -> Phantom:
    """Return the chest in another number of slices, each repeated or some left out: much faster than made anew."""
    times, every = max(count // BASE, 1), max(BASE // count, 1)
    affine = chest.affine.copy()
    affine[:, 0] *= BASE / count
    return replace(chest, hu=np.repeat(chest.hu[::every], times, axis=0), affine=affine)


def _row(part: str, unit: str, times: Mapping[int, float]) -> Row:
    middle, largest = COMPARED[unit]
    ratio = times[largest] / times[middle] * middle / largest
    name = f"growth, {part}, {largest} {unit} over {largest // middle} x {middle}"
    return row_of(name, "times", [ratio], IN_PROPORTION, {f"{size}": seconds for size, seconds in times.items()})


@contextmanager
def _timed(spent: Seconds, part: str, size: int) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    spent.setdefault(part, {})[size] = time.perf_counter() - begin


def _analyse(phantom: Phantom, folder: Path, segmenter: Segmenter, spent: Seconds) -> None:
    """Time the steps of the pipeline."""
    count = len(phantom.hu)
    files = dicom.write_series(folder / "ct", phantom)
    with _timed(spent, "load", count):
        series = load(files)
    with _timed(spent, "segment", count):
        segmenter.segment(series.volume, lambda _: None)
    mask = Mask(voxels=lesion_mask(phantom), affine=series.volume.affine)
    with _timed(spent, "measure", count):
        findings = find(series, mask, outline_lungs(find_lung_air(series.volume)), segmenter.card, JOB_KEY)
    with _timed(spent, "encode", count):
        encode(Report(findings=findings, comparison=NOT_COMPARED), source_of(series), ("seg", "sr"))


def _receive(count: int, folder: Path, spent: Seconds) -> None:
    (folder / "sent").mkdir()
    files = write_series(folder / "sent", count)
    with node(folder / "node") as (port, _), _timed(spent, "receive", count):
        send(files, port, 1)


def _journal(count: int, folder: Path, spent: Seconds) -> None:
    """Time to record series of three instances each, and to queue their jobs."""
    with Journal(f"sqlite:///{folder}/journal.db") as journal:
        with _timed(spent, "journal: record", count):
            for number in range(count):
                journal.series.record_instances([_instance(number, k) for k in range(3)], float(number))
        with _timed(spent, "journal: queue", count):
            jobs = assemble(journal, "f" * 64, every_series(journal, 0.0, count + 1.0), count + 1.0)
        assert len(jobs) == count, f"{len(jobs)} of {count} series were queued"


def _instance(series: int, number: int) -> Instance:
    return Instance(
        sop_instance_uid=f"1.2.{series}.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        series_uid=f"1.2.{series}",
        study_uid=f"1.3.{series}",
        calling_ae_title="SENDER",
        data_set_sha256="0" * 64,
    )


if __name__ == "__main__":
    main()
