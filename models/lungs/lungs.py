"""The result of the lung outline: lobes and distances on a coarse grid."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from models.volume import voxel_volume_ml


class Lobe(IntEnum):
    """The five lobes, as numbered in `Lungs.lobes`, where 0 means no lobe."""

    RIGHT_UPPER = 1
    RIGHT_MIDDLE = 2
    RIGHT_LOWER = 3
    LEFT_UPPER = 4
    LEFT_LOWER = 5

    @property
    def is_right(self) -> bool:
        """Whether it belongs to the right lung."""
        return self <= Lobe.RIGHT_LOWER


@dataclass(frozen=True, slots=True, kw_only=True)
class Lungs:
    """Both lungs of one scan on a grid of about 2 mm, axes (slice, row, column) in the scan's own order.

    Of a tilted scan, on a grid along the axes of the body.

    Tumours attached to the wall or the mediastinum belong to the lung.

    lobes: uint8, a Lobe or 0. affine: (4, 4), (slice, row, column, 1) to LPS mm.
    fissure_mm: float32, inside a lobe the distance to the fissure towards the nearest other lobe of the same lung; a
    measure of how certain the lobe's name is.
    wall_mm: float32, everywhere the distance to the nearest point outside the lungs that is chest wall or diaphragm;
    more than 10 mm outside the lungs' box it is that of the box's edge; infinite if there is none.
    mediastinum_mm: float32, the same for the mediastinum, including the hila.
    carina_mm: LPS, None if it was not found.
    """

    lobes: NDArray[np.uint8]
    affine: NDArray[np.float64]
    fissure_mm: NDArray[np.float32]
    wall_mm: NDArray[np.float32]
    mediastinum_mm: NDArray[np.float32]
    carina_mm: tuple[float, float, float] | None

    def volume_ml(self, lobe: Lobe) -> float:
        """Return the volume of a lobe in millilitres."""
        return float(np.count_nonzero(self.lobes == lobe)) * voxel_volume_ml(self.affine)
