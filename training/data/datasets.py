"""The data sets by name, as stacks of slices with masks, and generated chests.

The readers are in `training/readers/`; `training/data/prepare.py` reads them with all checks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from training.data.volume import Stack
from training.readers.cubes import lidc_cubes
from training.readers.slices import lidc_slices, majority, msd_slices, reader_masks
from worker.phantom.chest import Phantom, PhantomLesion, PhantomSpec, chest_phantom

__all__ = ["Stack", "lesion_mask", "lidc_cubes", "lidc_slices", "majority", "msd_slices", "phantoms", "reader_masks"]


def phantoms(count: int, first_seed: int) -> Iterator[Stack]:
    """Yield generated chests with random ellipsoid lesions, other ones than the demo's chest."""
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


def lesion_mask(phantom: Phantom) -> NDArray[np.bool_]:
    """Return the voxels whose centre lies in a lesion of the phantom: bool (slice, row, column)."""
    return np.stack([_lesions_in_slice(phantom, index) for index in range(len(phantom.hu))])


def _lesions_in_slice(phantom: Phantom, index: int) -> NDArray[np.bool_]:
    """Return the lesions' pixels of one slice; of all slices at once, the coordinates take 48 bytes a voxel."""
    shape = phantom.hu.shape[1:]
    row, column = np.indices(shape).reshape(2, -1)
    at = np.stack([np.full_like(row, index), row, column])
    x, y, z = (phantom.affine[:3, :3] @ at + phantom.affine[:3, 3:]).astype(np.float32)
    inside = np.zeros(x.shape, bool)
    for lesion in phantom.spec.lesions:
        (cx, cy, cz), (a, b, c) = lesion.centre_mm, lesion.half_axes_mm
        cos, sin = np.cos(lesion.turn_rad), np.sin(lesion.turn_rad)
        u, v = cos * (x - cx) + sin * (y - cy), cos * (y - cy) - sin * (x - cx)
        inside |= (u / a) ** 2 + (v / b) ** 2 + ((z - cz) / c) ** 2 <= 1
    return inside.reshape(shape)


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
