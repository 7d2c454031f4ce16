"""A piece of lung with regions of known size and density, as a scanner shows it: the truth of density's tests."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from models.volume import Volume
from worker.density import Density, density_of
from worker.lesions import Lesion

Array = NDArray[np.float64]
Region = Callable[[Array, Array, Array], NDArray[np.bool_]]
"""Which points (z, y, x) in mm belong to it."""

LUNG, SOLID, GROUND_GLASS, GAS, CALCIUM = -850.0, 40.0, -600.0, -990.0, 400.0
SHARP, SOFT = (0.45, 90.0), (0.8, 25.0)
"""Blur of the scanner's kernel (standard deviation, mm), and noise in HU."""
FINE_MM = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Chest:
    """Lung with regions of other Hounsfield units painted one over the other, as a scanner shows it."""

    slice_mm: float = 1.0
    kernel: tuple[float, float] = SOFT
    seed: int = 1
    reach_mm: float = 14.0
    pixel_mm: float = 0.7

    def scan(self, *painted: tuple[Region, float]) -> Volume:
        """Average what is painted over each voxel, blurred within the slices and across them."""
        per_voxel = [max(1, round(size / FINE_MM)) for size in self._spacing]
        fine = np.full([n * k for n, k in zip(self._shape, per_voxel, strict=True)], LUNG, np.float32)
        for region, hu in painted:
            fine[np.broadcast_to(region(*self.points(per_voxel)), fine.shape)] = hu
        blur, noise = self.kernel
        fine = gaussian_filter(fine, [blur * k / size for k, size in zip(per_voxel, self._spacing, strict=True)])
        parts = [length for n, k in zip(self._shape, per_voxel, strict=True) for length in (n, k)]
        hu = fine.reshape(parts).mean((1, 3, 5)) + np.random.default_rng(self.seed).normal(0, noise, self._shape)
        return Volume(hu=hu.astype(np.float32), affine=self._affine)

    def density(self, lesion: Region, *painted: tuple[Region, float]) -> Density:
        """Describe the lesion whose mask has the voxels with their centres in a region."""
        return density_of(lesion_of(lesion(*self.points([1, 1, 1]))), self.scan(*painted))

    @property
    def _spacing(self) -> tuple[float, float, float]:
        return self.slice_mm, self.pixel_mm, self.pixel_mm

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(math.ceil(2 * self.reach_mm / size) for size in self._spacing)

    @property
    def _affine(self) -> Array:
        affine = np.zeros((4, 4))
        affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = *self._spacing, 1
        return affine

    def points(self, per_voxel: list[int]) -> list[Array]:
        """Coordinates from a middle that lies off the grid by another part of a voxel for each seed."""
        off = np.random.default_rng(self.seed).uniform(-0.5, 0.5, 3)
        axes = [
            ((np.arange(n * k) + 0.5) / k - n / 2 + part) * size
            for n, k, size, part in zip(self._shape, per_voxel, self._spacing, off, strict=True)
        ]
        return list(np.meshgrid(*axes, indexing="ij", sparse=True))


def ball(diameter_mm: float, y_mm: float = 0.0) -> Region:
    return lambda z, y, x: z**2 + (y - y_mm) ** 2 + x**2 <= (diameter_mm / 2) ** 2


def shell(outer_mm: float, inner_mm: float) -> Region:
    return lambda z, y, x: ball(outer_mm)(z, y, x) & ~ball(inner_mm)(z, y, x)


def lesion_of(mask: NDArray[np.bool_]) -> Lesion:
    low = np.argwhere(mask).min(axis=0)
    high = np.argwhere(mask).max(axis=0) + 1
    return Lesion(
        number=1, tracking_id="", tracking_uid="", centroid_mm=(0, 0, 0),
        voxels=mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))],
        corner=(int(low[0]), int(low[1]), int(low[2])),
    )  # fmt: skip
