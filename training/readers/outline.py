"""Which DICOM segments and regions are tumours, and the mask in which their voxels are marked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from training.readers.case import DataRefused

DEFAULT = ("gtv*", "*tumor*", "*tumour*", "*nodule*", "*lesion*", "*neoplasm*", "SCT:108369006", "SCT:27925004")
"""Gross tumour volume, words for a tumour, and SNOMED's Neoplasm and Nodule, which our own segments carry."""
MAX_OFFSET = 0.25
"""Largest distance of an outline from the CT's voxels or slices, in voxels."""

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class TumourNames:
    """Names of a tumour: labels with * and ?, case-insensitive, or codes as SCHEME:VALUE."""

    names: tuple[str, ...] = DEFAULT

    def matches(self, names: Iterable[str]) -> bool:
        """Return whether one of a segment's or region's labels and codes is a tumour's."""
        folded = [name.casefold() for name in names]
        return any(fnmatchcase(name, pattern.casefold()) for name in folded for pattern in self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContourCanvas:
    """A mask to mark, on the grid of a CT; affine maps (slice, row, column, 1) to LPS mm."""

    mask: Bools
    affine: Array

    def index(self, points_mm: Array) -> Array:
        """Return LPS points (n, 3) as fractional (slice, row, column)."""
        return np.asarray((points_mm - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T)

    def mark_voxels(self, points_mm: Array) -> None:
        """Mark the voxels with these centres. Raises DataRefused if a point is no voxel centre or outside the CT."""
        index = self.index(points_mm)
        nearest = np.rint(index).astype(int)
        off = float(np.abs(index - nearest).max())
        if off > MAX_OFFSET:
            raise DataRefused(f"its voxels are up to {off:.2f} voxels off the CT's grid (limit {MAX_OFFSET})")
        if (nearest < 0).any() or (nearest >= self.mask.shape).any():
            raise DataRefused("it marks voxels outside the CT")
        self.mask[tuple(nearest.T)] = True

    def slice_of(self, index: Array) -> int:
        """Return the slice of a contour. Raises DataRefused if it is not in one slice of the CT."""
        number = round(float(index[:, 0].mean()))
        off = float(np.abs(index[:, 0] - number).max())
        if off > MAX_OFFSET:
            raise DataRefused(f"a contour is up to {off:.2f} slices off the nearest slice (limit {MAX_OFFSET})")
        if not 0 <= number < len(self.mask):
            raise DataRefused("a contour is outside the CT")
        return number
