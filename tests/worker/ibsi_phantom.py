"""The digital phantom of the Image Biomarker Standardisation Initiative: its voxels, from the figure that defines it.

Zwanenburg et al., IBSI reference manual v1.1 (arXiv:1612.07003), section 5.1, "Digital phantom" (CC BY 4.0): 5 x 4 x 4
voxels of (x, y, z), each 2 mm, grey levels 1, 3, 4 and 6, 74 voxels inside. Published values to compare with are in
chapter 6 of the manual and in its table of benchmark values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_OUT = 0
_SLICES = (
    ((1, 4, 4, 1, 1), (1, 4, 6, 1, 1), (4, 1, 6, 4, 1), (4, 4, 6, 4, 1)),
    ((1, 4, 4, 1, 1), (1, 1, 6, 1, 1), (_OUT, 1, 3, 1, 1), (4, 4, 6, 1, 1)),
    ((1, 4, 4, _OUT, _OUT), (1, 1, 1, 1, 1), (1, 1, _OUT, 1, 1), (1, 1, 6, 1, 1)),
    ((1, 4, 4, _OUT, _OUT), (1, 1, 1, 1, 1), (1, 1, 1, 1, 1), (1, 1, 6, 1, 1)),
)

IBSI_PHANTOM: NDArray[np.int64] = np.array(_SLICES, dtype=np.int64)
"""Intensities, axes (z, y, x); 0 in voxels outside of the region of interest."""
IBSI_MASK: NDArray[np.bool_] = IBSI_PHANTOM != _OUT
"""The region of interest, axes (z, y, x)."""
IBSI_SPACING_MM = 2.0
"""The voxel's size along each axis."""
IBSI_AFFINE: NDArray[np.float64] = np.array(
    [(0.0, 0.0, 2.0, 0.0), (0.0, 2.0, 0.0, 0.0), (2.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)]
)
"""Maps (slice, row, column, 1) to mm, as in models.volume.Volume."""
