"""The box around both lungs, and the coarsest mapping, from box to box. Registers nothing, knows no image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.volume import Mask

CUT_SHARE = 0.15
"""Of the lungs' largest section: as much on the scan's outermost slice, row or column, and the lungs go on beyond it.

The tip of a lung in a scan that was cropped to the lungs has a tenth at most, in slices of 5 mm.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LungBox:
    """The box around both lungs along the LPS axes, in mm."""

    low_mm: NDArray[np.float64]
    high_mm: NDArray[np.float64]

    @property
    def size_mm(self) -> NDArray[np.float64]:
        """Its lengths along x, y and z."""
        return self.high_mm - self.low_mm

    def starts_mm(self, other: LungBox) -> list[NDArray[np.float64]]:
        """Return shifts that bring middle on middle, and each end of the body's width and length on that of the other.

        A part of the lungs may be any part of them.
        """
        middle = (other.low_mm + other.high_mm - self.low_mm - self.high_mm) / 2
        low, high = other.low_mm - self.low_mm, other.high_mm - self.high_mm
        ends = [np.where(np.arange(3) == axis, end, middle) for axis in (0, 2) for end in (low, high)]
        return [middle, *ends]

    def to(self, other: LungBox) -> NDArray[np.float64]:
        """Return the matrix, (4, 4), that brings this box onto the other."""
        matrix = np.eye(4)
        matrix[:3, :3] = np.diag(other.size_mm / self.size_mm)
        matrix[:3, 3] = other.low_mm - matrix[:3, :3] @ self.low_mm
        return matrix


def lung_box(mask: Mask) -> LungBox:
    """Return the box around the voxels of lungs that are not empty, from edge to edge."""
    centres = np.argwhere(mask.voxels) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    half = np.abs(mask.affine[:3, :3]).sum(1) / 2
    return LungBox(low_mm=centres.min(0) - half, high_mm=centres.max(0) + half)


def is_cut(mask: Mask) -> bool:
    """Return whether the lungs go on beyond the scan."""
    for axis in range(3):
        sections = np.count_nonzero(mask.voxels, axis=tuple({0, 1, 2} - {axis}))
        if max(sections[0], sections[-1]) > CUT_SHARE * sections.max():
            return True
    return False
