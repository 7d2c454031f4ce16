"""Geometry of a stack of slices and their images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.volume import Mask, nearest_place
from worker.frame import Frame

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Geometry of a stack of slices.

    affine: float64 (4, 4), maps (slice, row, column, 1) of a voxel's centre to LPS mm.
    slices: slice coordinate of each known image.
    images: float64, slice coordinates of all images, ascending, if their distances vary; None: each slice is an image.
    """

    affine: Array
    slices: Mapping[Frame, float]
    images: Array | None = None

    def image_at(self, place: float) -> int:
        """Return the number, from 0, of the image nearest to a slice coordinate."""
        return round(place) if self.images is None else nearest_place(self.images, place)

    def image_numbers(self, positions_mm: Array) -> list[int]:
        """Return the numbers of the images nearest to positions (n, 3), LPS mm, of their first voxels."""
        inverse = np.linalg.inv(self.affine)
        return [self.image_at(float(place)) for place in positions_mm @ inverse[0, :3] + inverse[0, 3]]

    def slice_of(self, image_number: int) -> int:
        """Return the slice nearest to an image."""
        return image_number if self.images is None else int(np.floor(self.images[image_number] + 0.5))

    def image_through(self, mask: Mask) -> Frame | None:
        """Return the image through the centre of a mask; None if it is unknown."""
        x, y, z = mask.affine[:3, :3] @ np.argwhere(mask.voxels).mean(axis=0) + mask.affine[:3, 3]
        number = self.image_at(float((np.linalg.inv(self.affine) @ (x, y, z, 1.0))[0]))
        return next((image for image, place in self.slices.items() if self.image_at(place) == number), None)

    def to_mm(self, image: Frame, column: float, row: float) -> Array | None:
        """Return a point of an image as (x, y, z), LPS mm; None if the image is unknown.

        column, row: PS3.3 C.18.6.1.1, the outer corner of the first pixel is (0, 0).
        """
        index = self.slices.get(image)
        if index is None:
            return None
        return np.asarray((self.affine @ (index, row - 0.5, column - 0.5, 1.0))[:3], np.float64)
