"""A CT volume in Hounsfield units, a mask on its grid, and their geometry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def voxel_volume_ml(affine: NDArray[np.float64]) -> float:
    """Return the voxel's volume in millilitres; for a sheared grid, that of the parallelepiped."""
    return float(abs(np.linalg.det(affine[:3, :3]))) / 1000.0


def spacing_of(affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the voxel's size in mm along (slice, row, column)."""
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    return float(sizes[0]), float(sizes[1]), float(sizes[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A CT scan as one array.

    hu: float32, axes (slice, row, column), Hounsfield units.
    affine: float64 (4, 4), maps (slice, row, column, 1) of a voxel's centre to LPS mm.
    """

    hu: NDArray[np.float32]
    affine: NDArray[np.float64]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """The voxel's size in mm along (slice, row, column)."""
        return spacing_of(self.affine)

    @property
    def voxel_ml(self) -> float:
        """The voxel's volume in millilitres."""
        return voxel_volume_ml(self.affine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mask:
    """The voxels that a segmenter marked, on the grid of its volume.

    voxels: bool, axes (slice, row, column). affine: as in Volume.
    """

    voxels: NDArray[np.bool_]
    affine: NDArray[np.float64]

    @property
    def voxel_ml(self) -> float:
        """The voxel's volume in millilitres."""
        return voxel_volume_ml(self.affine)
