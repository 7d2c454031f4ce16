"""The demo's chest, coarse, with what is known of its lungs on paper, and scans stored in other orders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.volume import Volume
from worker.demo.phantom import PhantomSpec, chest_phantom

Bools = NDArray[np.bool_]

LUNG_HALF_AXES = (60.0, 88.0, 128.0)
# Centre and half axes of what the phantom paints over its lungs, in LPS mm (worker/demo/phantom.py).
PAINTED_OVER = (
    ((0, 4, 0), (32, 62, 1e4)),
    ((22, -28, -48), (58, 48, 58)),  # heart
    ((20, 48, 0), (13, 13, 1e4)),
    ((4, -22, 62), (24, 26, 26)),
    ((0, 78, 0), (20, 22, 1e4)),
)
HEART = PAINTED_OVER[1]


def chest() -> Volume:
    phantom = chest_phantom(PhantomSpec(spacing_mm=(2.5, 1.8, 1.8), shape=(104, 192, 192), lesions=()))
    return Volume(hu=phantom.hu, affine=phantom.affine)


def points(shape: tuple[int, ...], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """The LPS coordinates of each voxel, the last axis x, y, z."""
    located: NDArray[np.float64] = np.moveaxis(np.indices(shape), 0, -1) @ affine[:3, :3].T + affine[:3, 3]
    return located


def ellipsoid(at: NDArray[np.float64], centre: tuple[float, ...], half_axes: tuple[float, ...]) -> Bools:
    inside: Bools = (((at - np.array(centre)) / np.array(half_axes)) ** 2).sum(-1) <= 1
    return inside


def lung_on_paper(at: NDArray[np.float64], side: int) -> Bools:
    """The phantom's lung of a side (-1 right, 1 left)."""
    inside = ellipsoid(at, (side * 76.0, -2.0, -12.0), LUNG_HALF_AXES)
    for centre, half_axes in PAINTED_OVER:
        inside &= ~ellipsoid(at, centre, half_axes)
    return inside


def stored(volume: Volume, axes: tuple[int, int, int], flipped: tuple[int, ...]) -> Volume:
    """The same body with reversed and exchanged axes."""
    affine = volume.affine.copy()
    for axis in flipped:
        affine[:3, 3] += affine[:3, axis] * (volume.hu.shape[axis] - 1)
        affine[:3, axis] *= -1
    hu = np.flip(volume.hu, flipped).transpose(axes)
    return replace(volume, hu=np.ascontiguousarray(hu), affine=affine[:, [*axes, 3]])
