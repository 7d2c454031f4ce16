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


def nearest_place(places: NDArray[np.float64], place: float) -> int:
    """Return the index of the nearest of some slice coordinates; the first of equally near ones."""
    return int(np.round(np.abs(places - place), 6).argmin())


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """A CT scan as one array.

    hu: float32, axes (slice, row, column), Hounsfield units.
    affine: float64 (4, 4), maps (slice, row, column, 1) of a voxel's centre to LPS mm.
    places: float64, for a stack that was resampled along its slices the slice coordinate of each source image,
    ascending; None: each slice is an image. Rows and columns are always those of the images.
    """

    hu: NDArray[np.float32]
    affine: NDArray[np.float64]
    places: NDArray[np.float64] | None = None

    @property
    def images(self) -> NDArray[np.intp]:
        """The slice nearest to each source image."""
        return np.arange(len(self.hu)) if self.places is None else np.floor(self.places + 0.5).astype(np.intp)

    def image_at(self, slice_index: int) -> int:
        """Return the number, from 0, of the source image nearest to a slice; the lower of two equally near ones."""
        return slice_index if self.places is None else nearest_place(self.places, slice_index)

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
