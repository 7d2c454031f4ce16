"""Approximate lung field: the air inside the body."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

LUNG_HU = -400
SMALLEST_SHARE = 0.05
"""Air components below this share of the largest one are bowel or remains of the trachea."""
GRID_MM = 2.0


def lung_field(hu: NDArray[np.float32], spacing: tuple[float, float, float]) -> NDArray[np.bool_]:
    """Return the aerated lung of an axial volume (slice, row, column) with the trachea; all False if there is none.

    Computed on a grid of about GRID_MM in the plane; air connected to an edge of the slices is outside the body.
    """
    stride = tuple(max(1, round(GRID_MM / size)) for size in spacing[1:])
    coarse = hu[:, :: stride[0], :: stride[1]] < LUNG_HU
    labels, count = ndimage.label(coarse)
    if count == 0:
        return np.zeros(hu.shape, bool)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    outside = np.unique(np.concatenate([labels[:, [0, -1], :].ravel(), labels[:, :, [0, -1]].ravel()]))
    sizes[outside] = 0
    sizes[0] = 0
    kept = sizes >= max(1, SMALLEST_SHARE * sizes.max())
    field: NDArray[np.bool_] = kept[labels]
    return field.repeat(stride[0], axis=1).repeat(stride[1], axis=2)[:, : hu.shape[1], : hu.shape[2]]
