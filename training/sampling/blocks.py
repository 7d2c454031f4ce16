"""Draws training examples of the 3D network: a block of a stack, rotated, scaled, flipped and with changed intensities.

Geometry in the plane and intensities are those of `augment.py`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from models.lung_tumour.transforms import SLICE_STEP_MM, normalise
from training.data.datasets import Stack
from training.sampling.augment import Array, Example, geometry, intensity

BLOCK_SLICES = 32
"""Slices of a block, SLICE_STEP_MM apart: 80 mm."""


def draw_block(stack: Stack, index: int, centre: tuple[float, float], crop: int, rng: np.random.Generator) -> Example:
    """Draw the block of BLOCK_SLICES x crop x crop voxels around pixel `centre` (row, column) of slice `index`.

    image: (1, slice, row, column); target, known: (slice, row, column). Outside the stack known is 0.
    """
    matrix, offset = _geometry(stack, (index, *centre), crop, rng)
    reach = (BLOCK_SLICES + 1) / 2 * abs(matrix[0, 0])
    low, high = max(0, int(index - reach) - 1), min(len(stack.hu), int(index + reach) + 2)
    offset[0] -= low
    hu, mask = (np.asarray(array[low:high], np.float32) for array in (stack.hu, stack.mask))
    shape = (BLOCK_SLICES, crop, crop)
    image = _resample(hu, matrix, offset, "nearest", shape)
    target = _resample(mask, matrix, offset, "constant", shape)
    known = _resample(np.ones_like(mask), matrix, offset, "constant", shape)
    return Example(
        image=normalise(intensity(image, stack, rng))[None], target=target, known=(known > 0.99).astype(np.float32)
    )


def _geometry(
    stack: Stack, centre: tuple[float, float, float], crop: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return matrix and offset that map a voxel of the block to one of the stack; it is rotated only in the plane."""
    matrix = np.zeros((3, 3))
    matrix[1:, 1:], _ = geometry(stack, centre[1:], crop, rng)
    along = SLICE_STEP_MM * np.exp(rng.normal(0, 0.12)) / stack.spacing_mm[0]
    matrix[0, 0] = -along if rng.random() < 0.5 else along
    middle = (np.array((BLOCK_SLICES, crop, crop)) - 1) / 2
    return matrix, np.array(centre) - matrix @ middle


def _resample(
    voxels: Array,
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    mode: Literal["nearest", "constant"],
    shape: tuple[int, int, int],
) -> Array:
    return np.asarray(affine_transform(voxels, matrix, offset, shape, order=1, mode=mode, prefilter=False), np.float32)
