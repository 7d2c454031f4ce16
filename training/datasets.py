"""Reads slice collections, cubes and phantoms as stacks of slices with masks. Knows no network.

A stack is a run of consecutive axial slices in radiological view (rows to posterior, columns to the left).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from worker.demo.phantom import Phantom, PhantomLesion, PhantomSpec, chest_phantom

MSD_PIXEL_MM = 2 * 0.74
"""Where subjects.csv has no estimate: the median of those that it has, on the 256 grid."""
MSD_SLICE_MM = 1.25
"""The slice spacing of MSD Task06 is not in the collection; its usual value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Consecutive slices of one patient.

    hu: int16 (slice, row, column). mask: bool, same shape.
    whole: True where everything outside the mask is known to be no tumour in a whole slice.
    """

    source: str
    patient: str
    name: str
    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    spacing_mm: tuple[float, float, float]
    whole: bool


def msd_slices(folder: Path) -> Iterator[Stack]:
    """Read `Subject_k/NNN.webp` with `NNN.mask.png`; each run of consecutive NNN is a stack."""
    with (folder / "subjects.csv").open(encoding="utf-8") as file:
        rows = {f"Subject_{row['subject']}": row for row in csv.DictReader(file)}
    for subject, row in rows.items():
        estimate = next((value for key, value in row.items() if key.startswith("pixel_spacing")), "")
        pixel = 2 * float(estimate) if estimate else MSD_PIXEL_MM
        numbers = sorted(int(path.stem) for path in (folder / subject).glob("*.webp"))
        for run in _runs(numbers):
            grey = np.stack([_radiological(folder / subject / f"{n:03d}.webp") for n in run])
            mask = np.stack([_radiological(folder / subject / f"{n:03d}.mask.png") for n in run]) > 0
            yield Stack(
                source="msd",
                patient=subject,
                name=f"{subject}/{run[0]:03d}",
                hu=np.stack([_recalibrated(plane) for plane in grey]),
                mask=mask,
                spacing_mm=(MSD_SLICE_MM, pixel, pixel),
                whole=True,
            )


def lidc_slices(folder: Path) -> Iterator[Stack]:
    """Read nodule crops; the mask is what at least half of the readers marked who marked the nodule at all."""
    with (folder / "nodules.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        nodule = folder / row["patient_id"] / row["nodule"]
        names = sorted(path.stem for path in nodule.glob("*.webp"))
        grey = np.stack([_grey(nodule / f"{name}.webp") for name in names])
        readers = np.stack([_grey(nodule / f"{name}.readers.png") for name in names])
        pixel = float(row["pixel_spacing_mm"])
        yield Stack(
            source="lidc",
            patient=row["patient_id"],
            name=f"{row['patient_id']}/{row['nodule']}",
            hu=(grey.astype(np.int16) * 8 - 1000),
            mask=majority(readers),
            spacing_mm=(float(row["slice_spacing_mm"]), pixel, pixel),
            whole=False,
        )


def lidc_cubes(npz: Path) -> Iterator[Stack]:
    """Read 51 x 51 x 51 cubes of 1 mm with one reader's mask."""
    cubes = np.load(npz)
    for name in sorted({key.split("/")[0] for key in cubes.files}):
        yield Stack(
            source="lidc-cube",
            patient=name.split("_")[0],
            name=name,
            hu=cubes[f"{name}/hu"].astype(np.int16),
            mask=cubes[f"{name}/mask"] > 0,
            spacing_mm=(1.0, 1.0, 1.0),
            whole=False,
        )


def phantoms(count: int, first_seed: int) -> Iterator[Stack]:
    """Generate chests with random ellipsoid lesions; the demo's seed and lesions are not among them."""
    for seed in range(first_seed, first_seed + count):
        phantom = chest_phantom(_random_spec(np.random.default_rng(seed), seed))
        yield Stack(
            source="phantom",
            patient=f"phantom-{seed}",
            name=f"phantom-{seed}",
            hu=phantom.hu.astype(np.int16),
            mask=lesion_mask(phantom),
            spacing_mm=phantom.spec.spacing_mm,
            whole=True,
        )


def majority(readers: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return what half of the readers or more marked, of those with any pixel in the stack (bit r is reader r)."""
    planes = [(readers >> bit) & 1 for bit in range(4)]
    marked = [plane for plane in planes if plane.any()]
    return np.asarray(2 * sum(plane.astype(int) for plane in marked) >= len(marked)) & bool(marked)


def lesion_mask(phantom: Phantom) -> NDArray[np.bool_]:
    """Return the voxels whose centre lies in a lesion of the phantom."""
    index = np.indices(phantom.hu.shape).reshape(3, -1)
    x, y, z = (phantom.affine[:3, :3] @ index + phantom.affine[:3, 3:]).astype(np.float32)
    inside = np.zeros(x.shape, bool)
    for lesion in phantom.spec.lesions:
        (cx, cy, cz), (a, b, c) = lesion.centre_mm, lesion.half_axes_mm
        cos, sin = np.cos(lesion.turn_rad), np.sin(lesion.turn_rad)
        u, v = cos * (x - cx) + sin * (y - cy), cos * (y - cy) - sin * (x - cx)
        inside |= (u / a) ** 2 + (v / b) ** 2 + ((z - cz) / c) ** 2 <= 1
    return inside.reshape(phantom.hu.shape)


def _random_spec(rng: np.random.Generator, seed: int) -> PhantomSpec:
    lesions = []
    for _ in range(int(rng.integers(3, 7))):
        side, size = rng.choice((-1, 1)), float(np.exp(rng.uniform(np.log(4), np.log(26))))
        half_axes = size * rng.uniform(0.75, 1.25, 3)
        centre = (side * rng.uniform(48, 115), rng.uniform(-60, 60), rng.uniform(-90, 80))
        lesions.append(
            PhantomLesion(
                centre_mm=(float(centre[0]), float(centre[1]), float(centre[2])),
                half_axes_mm=(float(half_axes[0]), float(half_axes[1]), float(half_axes[2])),
                turn_rad=float(rng.uniform(0, np.pi)),
                hu=float(rng.uniform(-30, 90)),
            )
        )
    spacing = (float(rng.choice((1.25, 2.5, 3.0, 5.0))), 1.0, 1.0)
    slices = int(220 / spacing[0])
    return PhantomSpec(
        seed=seed,
        spacing_mm=spacing,
        shape=(slices, 272, 352),
        lesions=tuple(lesions),
        noise_hu=float(rng.uniform(5, 40)),
    )


def _runs(numbers: list[int]) -> list[list[int]]:
    starts = [0, *(i + 1 for i, (a, b) in enumerate(pairwise(numbers)) if b != a + 1), len(numbers)]
    return [numbers[a:b] for a, b in pairwise(starts)]


def _grey(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("L") if image.mode != "L" else image)


def _radiological(path: Path) -> NDArray[np.uint8]:
    """NIfTI array order (the patient on the side) to rows running to posterior, columns to the left."""
    return _grey(path).T[::-1]


def _recalibrated(grey: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Give a slice that was scaled min-max its HU back, roughly: 0 is air, the upper Otsu class centres on water.

    The upper class is fat, muscle and vessels; its median lies near 0 HU. Augmentation covers what this misses.
    """
    histogram = np.bincount(grey.ravel(), minlength=256).astype(float)
    weight = np.cumsum(histogram)
    mean = np.cumsum(histogram * np.arange(256))
    between = (mean[-1] * weight / weight[-1] - mean) ** 2 / np.maximum(weight * (weight[-1] - weight), 1)
    soft_tissue = float(np.median(grey[grey > int(np.argmax(between))]))
    return np.asarray(np.rint(grey * (1024.0 / soft_tissue) - 1024.0), np.int16)
