"""Measurement of one lesion in its volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.volume import Volume
from worker.lesions.density import Density, Intensity, density_of, intensity_of
from worker.lesions.lesion import Lesion
from worker.lesions.recist_diameters import Axis, recist_axes
from worker.lesions.shape import Shape, shape_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Size, shape, intensity and density of one lesion."""

    volume_ml: float
    long_axis: Axis
    short_axis: Axis
    shape: Shape
    intensity: Intensity
    density: Density


def measure(lesion: Lesion, volume: Volume) -> Measurement:
    """Return size, axes, shape, intensity and density of a lesion in its volume."""
    box = tuple(slice(low, low + size) for low, size in zip(lesion.corner, lesion.voxels.shape, strict=True))
    hu = volume.hu[box][lesion.voxels].astype(np.float64)
    long_axis, short_axis = recist_axes(lesion, volume)
    return Measurement(
        volume_ml=round(float(np.count_nonzero(lesion.voxels)) * volume.voxel_ml, 4),
        long_axis=long_axis,
        short_axis=short_axis,
        shape=shape_of(lesion.voxels, volume.affine),
        intensity=intensity_of(hu),
        density=density_of(lesion, volume),
    )
