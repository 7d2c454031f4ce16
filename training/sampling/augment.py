"""Draws training examples: a crop of a stack, rotated, scaled, flipped and with changed intensities.

All geometry is done in one interpolation, so that a coarse slice is blurred only once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from models.lung_tumour.transforms import PIXEL_MM, SLICES, Planes, normalise, planes, slice_step
from training.data.datasets import Stack

REACH_MM = 36.0
"""Largest distance of a tumour from the centre of its example along each axis; crops are larger than twice this."""
THICKEST_MM = 5.0
"""Largest thickness to which thin slices are averaged, together with the mask."""
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """image: (SLICES, crop, crop), normalised. target: (crop, crop), 0 to 1. known: 1 where the stack has pixels.

    For a block (`blocks.py`): image (1, slice, crop, crop), target and known (slice, crop, crop).
    """

    image: Array
    target: Array
    known: Array


def draw(stack: Stack, index: int, centre: tuple[float, float], crop: int, rng: np.random.Generator) -> Example:
    """Draw the example of `crop` pixels a side around pixel `centre` (row, column) of slice `index`."""
    drawn = context(stack, index, rng)
    matrix, offset = geometry(stack, centre, crop, rng)
    hu = _mixed(drawn.shares, stack.hu[drawn.slices])
    mask = _mixed(drawn.shares[[SLICES // 2]], stack.mask[drawn.slices])
    resampled, known = _resample(np.concatenate([hu, mask]), matrix, offset, crop)
    return Example(
        image=normalise(intensity(resampled[:SLICES], stack, rng)), target=resampled[SLICES] * known, known=known
    )


def context(stack: Stack, index: int, rng: np.random.Generator) -> Planes:
    """Return the planes around slice `index`, with random distance, direction and, for some, thickness."""
    slices, spacing = len(stack.hu), stack.spacing_mm[0]
    # Tumour-free MSD slices have no neighbours: without this, a lone slice would always mean no tumour.
    if rng.random() < 0.3:
        return planes(index, slices, 0.0)
    # The slice spacing of 8-bit pictures is unknown.
    step = rng.uniform(1, 3) if stack.estimated else slice_step(spacing) * np.exp(rng.normal(0, 0.15))
    thickness = rng.uniform(1, THICKEST_MM / spacing) if rng.random() < 0.3 and spacing < THICKEST_MM else 1.0
    return planes(index, slices, float(step if rng.random() < 0.5 else -step), float(thickness))


def _mixed(shares: Array, slices: NDArray[np.generic]) -> Array:
    return np.asarray(np.tensordot(shares, slices.astype(np.float32, order="C"), 1), np.float32)


def geometry(
    stack: Stack, centre: tuple[float, float], crop: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return matrix and offset that map a pixel of the crop to a pixel of the slice."""
    angle, scale = rng.normal(0, 0.25), np.exp(rng.normal(0, 0.16))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    flip = np.diag([-1.0 if rng.random() < 0.15 else 1.0, -1.0 if rng.random() < 0.5 else 1.0])
    per_pixel = PIXEL_MM * scale / np.array(stack.spacing_mm[1:])
    matrix = np.diag(per_pixel) @ turn @ flip
    middle = np.full(2, (crop - 1) / 2)
    return matrix, np.array(centre) - matrix @ middle


def _resample(
    planes: Array, matrix: NDArray[np.float64], offset: NDArray[np.float64], crop: int
) -> tuple[Array, Array]:
    """Return the planes (n, row, column) at `matrix @ pixel + offset` of each pixel of the crop, linearly interpolated.

    Outside the planes their border is repeated; the second array is 1 inside, 0 outside. The result equals scipy's
    affine_transform of order 1 for each plane, in a quarter of the time.
    """
    last = np.array(planes.shape[1:]) - 1.0
    along = np.arange(crop)
    row, column = ((matrix[k, 0] * along[:, None] + matrix[k, 1] * along + offset[k]) / last[k] for k in range(2))
    grid = torch.from_numpy(np.stack([2 * column - 1, 2 * row - 1], -1, dtype=np.float32))
    drawn = functional.grid_sample(
        torch.from_numpy(planes)[None], grid[None], mode="bilinear", padding_mode="border", align_corners=True
    )
    known = (grid.abs() <= 1).all(-1).numpy().astype(np.float32)
    return np.asarray(drawn[0].numpy(), np.float32), known


def intensity(image: Array, stack: Stack, rng: np.random.Generator) -> Array:
    """Scale and shift HU (more if HU are estimated), blur or sharpen, add noise."""
    spread = 0.07 if stack.estimated else 0.03
    image = (image + 1000) * np.float32(np.exp(rng.normal(0, spread))) - 1000 + np.float32(rng.normal(0, 20))
    kind = rng.random()
    if kind < 0.25:
        sigma = rng.uniform(0.3, 1.0)
        image = gaussian_filter(image, (0, sigma, sigma))
    elif kind < 0.45:  # like a sharp kernel
        image = image + np.float32(rng.uniform(0.3, 1.2)) * (image - gaussian_filter(image, (0, 1, 1)))
    if rng.random() < 0.5:
        noise = rng.standard_normal(image.shape, np.float32)
        grain = rng.uniform(0, 0.8)
        noise = gaussian_filter(noise, (0, grain, grain))
        image = image + noise * np.float32(rng.exponential(25) / max(float(noise.std()), 1e-3))
    return np.asarray(image, np.float32)


def tumour_centre(stack: Stack, index: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return a pixel of the mask in slice `index`, moved at random by up to REACH_MM."""
    rows, columns = np.nonzero(stack.mask[index])
    pick = int(rng.integers(len(rows)))
    reach = REACH_MM / stack.spacing_mm[1]
    return float(rows[pick] + rng.uniform(-reach, reach)), float(columns[pick] + rng.uniform(-reach, reach))


def middle(stack: Stack, index: int, rng: np.random.Generator) -> tuple[float, float]:  # noqa: ARG001 - all alike
    """Return the middle of a slice, moved at random by up to a quarter of REACH_MM along each axis."""
    row, column = (
        (size - 1) / 2 + rng.uniform(-0.25, 0.25) * REACH_MM / step
        for size, step in zip(stack.hu.shape[1:], stack.spacing_mm[1:], strict=True)
    )
    return float(row), float(column)


def lung_centre(stack: Stack, index: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return a random pixel of aerated lung, or any pixel if the slice has none."""
    return _pixel(stack, index, (-960, -500), rng)


def body_centre(stack: Stack, index: int, rng: np.random.Generator) -> tuple[float, float]:
    """Return a random pixel of soft tissue, including liver and heart, or any pixel if the slice has none."""
    return _pixel(stack, index, (-150, 250), rng)


def _pixel(stack: Stack, index: int, hu: tuple[int, int], rng: np.random.Generator) -> tuple[float, float]:
    plane = stack.hu[index]
    margin = np.array(plane.shape) // 6
    inner = plane[margin[0] : -margin[0], margin[1] : -margin[1]]
    rows, columns = np.nonzero((inner > hu[0]) & (inner < hu[1]))
    if not len(rows):
        return float(rng.uniform(0, plane.shape[0])), float(rng.uniform(0, plane.shape[1]))
    pick = int(rng.integers(len(rows)))
    return float(rows[pick] + margin[0]), float(columns[pick] + margin[1])
