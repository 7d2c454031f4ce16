"""What outlines a tumour in DICOM: which segments and regions are meant, and where their voxels lie. Knows no files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray

from training.readers.case import DataRefused

DEFAULT = ("gtv*", "*tumor*", "*tumour*", "*nodule*", "*lesion*", "*neoplasm*", "SCT:108369006", "SCT:27925004")
"""Gross tumour volume, words for a tumour, and SNOMED's Neoplasm and Nodule, which our own segments carry."""
MOST_OFF = 0.25
"""How far an outline may lie from the voxels or the slices that it is meant for, in voxels."""

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tumour:
    """How a tumour is called: labels with * and ?, in any case, or codes as SCHEME:VALUE."""

    names: tuple[str, ...] = DEFAULT

    def is_meant(self, names: Iterable[str]) -> bool:
        """Whether one of a segment's or region's labels and codes is a tumour's."""
        folded = [name.casefold() for name in names]
        return any(fnmatchcase(name, pattern.casefold()) for name in folded for pattern in self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """A mask being marked on the grid of a CT; affine maps (slice, row, column, 1) to LPS mm."""

    mask: Bools
    affine: Array

    def index(self, places_mm: Array) -> Array:
        """Return LPS places (n, 3) as (slice, row, column), fractions included."""
        return np.asarray((places_mm - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T)

    def mark_voxels(self, places_mm: Array) -> None:
        """Mark the voxels at whose centres these places lie. Raises DataRefused for a place elsewhere."""
        index = self.index(places_mm)
        nearest = np.rint(index).astype(int)
        off = float(np.abs(index - nearest).max())
        if off > MOST_OFF:
            raise DataRefused(f"its voxels lie up to {off:.2f} voxels beside the CT's (limit {MOST_OFF})")
        if (nearest < 0).any() or (nearest >= self.mask.shape).any():
            raise DataRefused("it marks voxels outside of the CT")
        self.mask[tuple(nearest.T)] = True

    def slice_of(self, index: Array) -> int:
        """Return the slice in which a contour lies. Raises DataRefused where it lies in none."""
        number = round(float(index[:, 0].mean()))
        off = float(np.abs(index[:, 0] - number).max())
        if off > MOST_OFF:
            raise DataRefused(f"a contour lies up to {off:.2f} slices beside one (limit {MOST_OFF})")
        if not 0 <= number < len(self.mask):
            raise DataRefused("a contour lies outside of the CT")
        return number
