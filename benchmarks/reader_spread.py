"""Measures the variability between readers of the same nodule: python -m benchmarks.reader_spread FOLDER.

FOLDER holds LIDC-IDRI nodules as `nodules.csv` (patient_id, nodule, pixel_spacing_mm, slice_spacing_mm) and
`PATIENT/NODULE/NNN.webp` with `NNN.readers.png`, in which bit r of a pixel is set if reader r marked it. Each reader's
mask is measured with the product's code. Prints the standard deviation between readers by size, the factors of
worker/lesions/uncertainty_model.py, and how often one reader's intervals contain another reader's size. The factors are
computed on half of the patients and checked on the other half; the committed factors are from all patients.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.volume import Mask, Volume
from tests.fixtures.models.model_card import CARD
from worker.lesions.lesion import find_lesions
from worker.lesions.measure import measure
from worker.lesions.uncertainty import Sizes, sizes_of, uncertainty_of

NAMES = ("volume_ml", "long_axis_mm", "short_axis_mm")
DIAMETERS_MM = (0, 10, 14, 20, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodule:
    """The sizes of one nodule, as measured in each reader's mask."""

    patient: str
    by_reader: tuple[Sizes, ...]

    @property
    def diameter_mm(self) -> float:
        """Geometric mean of the diameter over the readers."""
        return math.exp(np.mean([math.log(sizes.diameter_mm) for sizes in self.by_reader]))

    def pairs(self) -> Iterator[tuple[Sizes, Sizes]]:
        """Return all ordered pairs of readers."""
        return itertools.permutations(self.by_reader, 2)


def nodules(folder: Path) -> Iterator[Nodule]:
    """Yield every nodule that two or more readers outlined, measured."""
    with (folder / "nodules.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            files = sorted((folder / row["patient_id"] / row["nodule"]).glob("*.webp"))
            hu = np.stack([_grey(file) for file in files]).astype(np.float32) * 8 - 1000
            marks = np.stack([_grey(file.with_suffix(".readers.png")) for file in files])
            pixel = float(row["pixel_spacing_mm"])
            volume = Volume(hu=hu, affine=np.diag([float(row["slice_spacing_mm"]), pixel, pixel, 1.0]))
            masks = [(marks >> reader) & 1 > 0 for reader in range(4)]
            sizes = tuple(_measured(mask, volume) for mask in masks if mask.any())
            if len(sizes) > 1:
                yield Nodule(patient=row["patient_id"], by_reader=sizes)


def _grey(file: Path) -> NDArray[np.uint8]:
    image = Image.open(file)
    return np.asarray(image if image.mode == "L" else image.convert("L"), np.uint8)


def _measured(voxels: NDArray[np.bool_], volume: Volume) -> Sizes:
    lesion = find_lesions(Mask(voxels=voxels, affine=volume.affine), CARD, "0" * 64)[0]
    return sizes_of(lesion, measure(lesion, volume), volume)


def print_spread(found: list[Nodule]) -> None:
    """Print the pooled standard deviation between the readers of a nodule."""
    print(
        "standard deviation between readers\n  mm          n  ln volume  volume  long mm  short mm  ln long  ln short"
    )
    for low, high in [*itertools.pairwise(DIAMETERS_MM), (0, 60)]:
        group = [nodule for nodule in found if low <= nodule.diameter_mm < high]
        logs = [_pooled(group, name, logarithm=True) for name in NAMES]
        mms = [_pooled(group, name, logarithm=False) for name in NAMES[1:]]
        print(f"{low:3d} - {high:2d} {len(group):5d} {logs[0]:10.3f} {100 * math.expm1(logs[0]):6.0f}% {mms[0]:8.2f} "
              f"{mms[1]:9.2f} {logs[1]:8.3f} {logs[2]:9.3f}")  # fmt: skip


def _pooled(group: list[Nodule], name: str, *, logarithm: bool) -> float:
    """Return the standard deviation with each nodule's variance weighted by its degrees of freedom."""
    squares, freedom = 0.0, 0
    for nodule in group:
        values = np.array([getattr(sizes, name) for sizes in nodule.by_reader])
        values = np.log(values) if logarithm else values
        squares += float(((values - values.mean()) ** 2).sum())
        freedom += len(values) - 1
    return math.sqrt(squares / freedom)


def factors(found: list[Nodule]) -> dict[str, float]:
    """Return the factor within which 95 % of the pairs of readers agree; all nodules have equal weight."""
    return {name: round(math.exp(_weighted_quantile(found, name)), 2) for name in NAMES}


def _weighted_quantile(found: list[Nodule], name: str) -> float:
    log_ratios, weights = [], []
    for nodule in found:
        pairs = [abs(math.log(getattr(one, name) / getattr(other, name))) for one, other in nodule.pairs()]
        log_ratios += pairs
        weights += [1 / len(pairs)] * len(pairs)
    order = np.argsort(log_ratios)
    cumulative = np.cumsum(np.array(weights)[order]) / sum(weights)
    return float(np.array(log_ratios)[order][np.searchsorted(cumulative, 0.95)])


def print_coverage(found: list[Nodule], scale: dict[str, float]) -> None:
    """Print how often another reader's size lies in the interval of the scan, and in that of the given factors."""
    print("share of other readers' sizes    in the scan's interval    in the readers' interval")
    for low, high in [*itertools.pairwise(DIAMETERS_MM), (0, 60)]:
        group = [nodule for nodule in found if low <= nodule.diameter_mm < high]
        cells = [(_share(group, name, None), _share(group, name, scale[name])) for name in NAMES]
        scan, readers = (" ".join(f"{100 * share:6.1f}%" for share in column) for column in zip(*cells, strict=True))
        print(f"{low:3d} - {high:2d} mm  {len(group):5d}          {scan}    {readers}")


def _share(group: list[Nodule], name: str, factor: float | None) -> float:
    shares = []
    for nodule in group:
        covered = []
        for one, other in nodule.pairs():
            size, interval = getattr(other, name), getattr(uncertainty_of(one), name)
            low, high = (
                (interval.low, interval.high)
                if factor is None
                else (getattr(one, name) / factor, getattr(one, name) * factor)
            )
            covered.append(low <= size <= high)
        shares.append(np.mean(covered))
    return float(np.mean(shares))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    found = list(nodules(parser.parse_args().folder))
    outlines = sum(len(nodule.by_reader) for nodule in found)
    patients = sorted({nodule.patient for nodule in found})
    print(f"{len(found)} nodules of {len(patients)} patients, {outlines} outlines")
    print_spread(found)
    first_half = set(patients[::2])
    halves = [[n for n in found if n.patient in first_half], [n for n in found if n.patient not in first_half]]
    for fit, check in (halves, halves[::-1]):
        print(f"\nfactors from {len(fit)} nodules: {factors(fit)}; on the {len(check)} of other patients:")
        print_coverage(check, factors(fit))
    print(f"\nfactors from all: {factors(found)}")


if __name__ == "__main__":
    main()
