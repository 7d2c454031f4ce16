"""Loads one CT series with LungSpread, highdicom and SimpleITK in turn: python -m benchmarks.load [FOLDER].

Without a folder a generated series is read (--slices slices of 512 x 512, from the disk cache). All readers return the
same volume, which is checked: float32 Hounsfield units in memory, slices in order (highdicom's from head to feet). The
readers alternate, so that other load on the machine affects all of them. A first round is not timed, and each volume is
freed before the next: a virtual machine needs 0.7 s to provide 300 MB that it has not used before, 0.04 s to reuse it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import SimpleITK
from numpy.typing import NDArray
from pydicom import dcmread

from benchmarks.row import row_of, write_rows
from worker.ct.reader import load
from worker.phantom.chest import Phantom, PhantomSpec
from worker.phantom.dicom import write_series

sitk: Any = SimpleITK  # untyped
Hounsfield = NDArray[np.float32]


def with_lungspread(files: Sequence[Path]) -> Hounsfield:
    """Read and check the headers, then read the pixels."""
    return load(files).volume.hu


def with_highdicom(files: Sequence[Path]) -> Hounsfield:
    """Read and stack as float32; the default would be float64."""
    datasets = [dcmread(file) for file in files]
    return np.asarray(highdicom.get_volume_from_series(datasets, dtype=np.float32).array)


def with_simpleitk(files: Sequence[Path]) -> Hounsfield:
    """Sort the folder with GDCM, then read."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(files[0].parent)))
    return np.asarray(sitk.GetArrayFromImage(sitk.Cast(reader.Execute(), sitk.sitkFloat32)))


READERS: dict[str, Callable[[Sequence[Path]], Hounsfield]] = {
    "LungSpread": with_lungspread,
    "highdicom": with_highdicom,
    "SimpleITK": with_simpleitk,
}


def compare(files: Sequence[Path], rounds: int) -> dict[str, list[float]]:
    """Return each reader's seconds in all rounds. Exits if a reader returns other voxels."""
    seconds: dict[str, list[float]] = {name: [] for name in READERS}
    expected = with_lungspread(files)
    for _ in range(1 + rounds):
        for name, read in READERS.items():
            start = time.perf_counter()
            volume = read(files)
            seconds[name].append(time.perf_counter() - start)
            if not any(np.array_equal(each, expected) for each in (volume, volume[::-1])):
                raise SystemExit(f"{name} reads other voxels")
            del volume
    return {name: each[1:] for name, each in seconds.items()}


def generated(slices: int) -> Phantom:
    """Return noise of the size of a chest CT; the content does not matter here."""
    spec = PhantomSpec(shape=(slices, 512, 512), spacing_mm=(1.0, 0.7, 0.7))
    hu = np.random.default_rng(1).integers(-1000, 1000, spec.shape, dtype=np.int16).astype(np.float32)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *spec.spacing_mm, 1
    return Phantom(spec=spec, hu=hu, affine=affine)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        files = sorted(options.folder.glob("*.dcm")) if options.folder else write_series(
            Path(scratch), generated(options.slices))  # fmt: skip
        seconds = compare(files, options.rounds)
    peers = {name: statistics.median(each) for name, each in seconds.items()}
    rows = [
        row_of(
            f"load {len(files)} slices, {name} over ours",
            "times",
            [peer / ours for peer, ours in zip(seconds[name], seconds["LungSpread"], strict=True)],
            1.0,
            peers,
            at_least=True,
        )
        for name in READERS
        if name != "LungSpread"
    ]
    write_rows(rows, options.out)


if __name__ == "__main__":
    main()
