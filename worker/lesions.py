"""Splits a tumour mask into lesions, each with its tracking identifier. Knows no Hounsfield units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """One 3D connected component of the tumour mask.

    voxels: bool, the lesion's bounding box cut out of the volume, axes (slice, row, column).
    corner: index of the box's first voxel in the volume.
    centroid_mm: LPS.
    """

    number: int
    """From 1, the largest first: the SEG's segment number."""
    tracking_id: str
    tracking_uid: str
    voxels: NDArray[np.bool_]
    corner: tuple[int, int, int]
    centroid_mm: tuple[float, float, float]
