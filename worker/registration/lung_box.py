"""Bounding box of both lungs, and the mapping from one box to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.volume import Mask

CUT_SHARE = 0.15
"""Share of the lungs' largest cross-section; if an outermost slice, row or column exceeds it, the scan cuts the lungs.

In a scan cropped to the lungs, the tip of a lung has at most a tenth, with slices of 5 mm.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LungBox:
    """Bounding box of both lungs along the LPS axes; low_mm, high_mm: (x, y, z)."""

    low_mm: NDArray[np.float64]
    high_mm: NDArray[np.float64]

    @property
    def size_mm(self) -> NDArray[np.float64]:
        """Side lengths along x, y and z."""
        return self.high_mm - self.low_mm

    def initial_shifts_mm(self, other: LungBox) -> list[NDArray[np.float64]]:
        """Return initial shifts to the other box: of the centres, and of each end along x and z.

        All are needed because a partial scan may show any part of the lungs.
        """
        centre_shift = (other.low_mm + other.high_mm - self.low_mm - self.high_mm) / 2
        low, high = other.low_mm - self.low_mm, other.high_mm - self.high_mm
        ends = [np.where(np.arange(3) == axis, end, centre_shift) for axis in (0, 2) for end in (low, high)]
        return [centre_shift, *ends]

    def to(self, other: LungBox) -> NDArray[np.float64]:
        """Return the matrix, (4, 4), that maps this box to the other."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.diag(other.size_mm / self.size_mm)
        matrix[:3, 3] = other.low_mm - matrix[:3, :3] @ self.low_mm
        return matrix


def lung_box(mask: Mask) -> LungBox:
    """Return the bounding box of a non-empty lung mask, including the outer halves of its voxels."""
    centres = np.argwhere(mask.voxels) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    half = np.abs(mask.affine[:3, :3]).sum(1) / 2
    return LungBox(low_mm=centres.min(0) - half, high_mm=centres.max(0) + half)


def is_cut(mask: Mask) -> bool:
    """Return whether the lungs extend beyond the scan."""
    for axis in range(3):
        sections = np.count_nonzero(mask.voxels, axis=tuple({0, 1, 2} - {axis}))
        if max(sections[0], sections[-1]) > CUT_SHARE * sections.max():
            return True
    return False
