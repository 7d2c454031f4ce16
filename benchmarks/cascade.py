"""The cascade against the whole ensemble: python -m benchmarks.cascade FOLDER... [--model NAME] [--torch] [--out FILE].

Each FOLDER holds one CT series as DICOM; without one, a phantom of 300 slices is generated. Printed are, of one round
each, the lesions of both, those lost and gained, the Dice of the masks, and the ratio of the seconds of segmenting.
--torch: the whole ensemble by torch, as before OpenVINO and the cascade.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.row import Row, row_of, write_rows
from models.registry import load_model
from models.segmenter import EngineName, InferenceSettings, Segmenter
from models.volume import Volume
from worker.ct.files import dicom_files
from worker.ct.reader import load
from worker.lesions.lesion import find_lesions
from worker.phantom.chest import PhantomLesion, PhantomSpec, chest_phantom

Bools = NDArray[np.bool_]
TIMES_FASTER = 10.0


def main() -> None:
    """Print a line for each scan."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*", metavar="FOLDER")
    parser.add_argument("--model", default="lung_tumour")
    parser.add_argument("--torch", action="store_true", help="run the whole ensemble by torch")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    cascade = load_model(options.model, InferenceSettings(device="cpu"))
    engine: EngineName = "torch" if options.torch else "auto"
    whole = load_model(options.model, InferenceSettings(device="cpu", engine=engine, cascade=False))
    print(f"cascade: {cascade.card.engine}; whole ensemble: {whole.card.engine}")
    scans = [(folder.name, load(dicom_files(folder)).volume) for folder in options.folders]
    rows = [_compare(cascade, whole, name, volume) for name, volume in scans or [("phantom", phantom())]]
    write_rows(rows, options.out)


def phantom() -> Volume:
    """Return a generated chest of 300 slices with two lesions."""
    lesions = (
        PhantomLesion(centre_mm=(-78.0, -12.0, 10.0), half_axes_mm=(17.0, 17.0, 17.0)),
        PhantomLesion(centre_mm=(80.0, 20.0, -40.0), half_axes_mm=(8.0, 6.0, 8.0)),
    )
    chest = chest_phantom(PhantomSpec(shape=(300, 512, 512), spacing_mm=(0.8, 0.7, 0.7), lesions=lesions))
    return Volume(hu=chest.hu, affine=chest.affine)


def _compare(cascade: Segmenter, whole: Segmenter, name: str, volume: Volume) -> Row:
    quick, quick_s = _reported(cascade, volume)
    exact, exact_s = _reported(whole, volume)
    (found, found_count), (there, there_count) = (ndimage.label(mask, np.ones((3, 3, 3))) for mask in (quick, exact))
    lost = sum(not quick[there == number].any() for number in range(1, there_count + 1))
    gained = sum(not exact[found == number].any() for number in range(1, found_count + 1))
    total = int(quick.sum()) + int(exact.sum())
    dice = 2 * int((quick & exact).sum()) / total if total else 1.0
    print(f"{name}: {found_count} and {there_count} lesions, {lost} lost, {gained} gained, Dice {dice:.4f}", flush=True)
    peers = {"cascade": quick_s, f"whole ensemble, {whole.card.engine}": exact_s}
    return row_of(
        f"segment {name}, {len(volume.hu)} slices", "times", [exact_s / quick_s], TIMES_FASTER, peers, at_least=True
    )


def _reported(model: Segmenter, volume: Volume) -> tuple[Bools, float]:
    """Return the voxels of the lesions that are reported, and the seconds of segmenting."""
    begin = time.perf_counter()
    mask = model.segment(volume, lambda _: None)
    seconds = time.perf_counter() - begin
    reported = np.zeros(mask.voxels.shape, bool)
    for lesion in find_lesions(mask, model.card, "benchmark"):
        box = tuple(slice(a, a + n) for a, n in zip(lesion.corner, lesion.voxels.shape, strict=True))
        reported[box] |= lesion.voxels
    return reported, seconds


if __name__ == "__main__":
    main()
