"""Uncertainty of measured sizes as 95 % intervals.

Two separate intervals are given:

* **The scan** (`Uncertainty.volume_ml`, `.long_axis_mm`, `.short_axis_mm`): contains the true size of a lesion that is
  outlined as well as its image allows. Covers voxel sampling, partial volume, slice profile, point spread, noise and
  the lesion's position between the slices. Fitted on phantoms of known size (`uncertainty_model.py`).
* **The outline** (`Uncertainty.another_reader`): what another reader would measure on the same scan, from readers who
  outlined the same nodules. It is much wider.

Neither covers segmentation errors of a model, breathing or another reconstruction kernel; for two scans see
`worker/follow_up/repeatability.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.volume import Volume
from worker.lesions.lesion import Lesion
from worker.lesions.measure import Measurement
from worker.lesions.uncertainty_model import BOUNDS, READER_FACTORS, Bounds

TYPICAL_NOISE = 0.04
"""Relative noise of a lesion too small to measure it: 35 HU on a lesion 870 HU above the lung."""
NOISE_RANGE = (0.005, 0.15)
"""Range that the model was fitted on."""
MAX_LOG_ERROR = 3.0
"""Limits the interval to a factor of 20: a fragment on one thick slice may be a small part of its lesion."""
CORE_PX, RING_PX = 2, 4
MIN_PAIRS = 10
CROSS = ndimage.generate_binary_structure(2, 1)[None]  # 4-connectivity within the slice


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A 95 % interval in the unit of the measurement."""

    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeIntervals:
    """A 95 % interval for each size."""

    volume_ml: Interval
    long_axis_mm: Interval
    short_axis_mm: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainty:
    """95 % intervals of one lesion's sizes: due to the scan, and for another reader's measurement."""

    volume_ml: Interval
    long_axis_mm: Interval
    short_axis_mm: Interval
    another_reader: SizeIntervals


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Sizes of a lesion and the scan properties that their uncertainty depends on."""

    volume_ml: float
    long_axis_mm: float
    short_axis_mm: float
    slices: int
    """Number of slices that contain the lesion."""
    spacing_mm: tuple[float, float, float]
    """(slice, row, column)."""
    noise: float = TYPICAL_NOISE
    """Pixel noise divided by the contrast between lesion and lung."""

    @property
    def diameter_mm(self) -> float:
        """The diameter of the sphere of equal volume."""
        return float((6000 * self.volume_ml / math.pi) ** (1 / 3))

    @property
    def pixel_mm(self) -> float:
        """The geometric mean of row and column spacing."""
        return math.sqrt(self.spacing_mm[1] * self.spacing_mm[2])


def sizes_of(lesion: Lesion, measurement: Measurement, volume: Volume) -> Sizes:
    """Return the sizes of a measured lesion, its slice count and its noise in this volume."""
    slices, slice_mm = _slices(lesion, volume)
    return Sizes(
        volume_ml=measurement.volume_ml,
        long_axis_mm=measurement.long_axis.length_mm,
        short_axis_mm=measurement.short_axis.length_mm,
        slices=slices,
        spacing_mm=(slice_mm, *volume.spacing[1:]),
        noise=relative_noise(lesion, volume),
    )


def _slices(lesion: Lesion, volume: Volume) -> tuple[int, float]:
    """Return how many slices contain the lesion, and their spacing in mm; in a resampled stack those of the images."""
    occupied = lesion.corner[0] + np.flatnonzero(lesion.voxels.any(axis=(1, 2)))
    if volume.places is None:
        return len(occupied), volume.spacing[0]
    within = np.flatnonzero(np.isin(volume.images, occupied))
    first, last = (within[0], within[-1]) if len(within) else (volume.image_at(int(occupied[0])),) * 2
    around = volume.places[max(0, first - 1) : last + 2]
    return max(1, len(within)), float(np.diff(around).mean()) * volume.spacing[0]


def uncertainty_of(sizes: Sizes) -> Uncertainty:
    """Return the 95 % intervals; each contains its measured value."""
    return Uncertainty(
        volume_ml=_volume_interval(sizes),
        long_axis_mm=_axis_interval(sizes, sizes.long_axis_mm, BOUNDS["long_axis_mm"]),
        short_axis_mm=_axis_interval(sizes, sizes.short_axis_mm, BOUNDS["short_axis_mm"]),
        another_reader=SizeIntervals(
            volume_ml=_reader_interval(sizes.volume_ml, "volume_ml", 4),
            long_axis_mm=_reader_interval(sizes.long_axis_mm, "long_axis_mm", 3),
            short_axis_mm=_reader_interval(sizes.short_axis_mm, "short_axis_mm", 3),
        ),
    )


def features(sizes: Sizes, size_mm: float) -> NDArray[np.float64]:
    """Return the features of the linear model: number of slices, size and slice spacing in pixels, noise; (8,)."""
    slices = math.log(sizes.slices)
    slice_px = math.log(sizes.spacing_mm[0] / sizes.pixel_mm)
    size_px = math.log(size_mm / sizes.pixel_mm)
    noise = math.log(sizes.noise)
    return np.array([1.0, slices, 1 / sizes.slices, slices**2, size_px, slice_px, slices * slice_px, noise])


def _volume_interval(sizes: Sizes) -> Interval:
    """Return the interval of the volume; the model bounds ln(true / measured)."""
    below, above = _errors(features(sizes, sizes.diameter_mm), BOUNDS["volume_ml"])
    low, high = (math.exp(min(error, MAX_LOG_ERROR)) for error in (below, above))
    return Interval(low=round(sizes.volume_ml / low, 4), high=round(sizes.volume_ml * high, 4))


def _axis_interval(sizes: Sizes, axis_mm: float, bounds: Bounds) -> Interval:
    """Return the interval of an axis; the model bounds (true - measured) in pixels."""
    below, above = (error * sizes.pixel_mm for error in _errors(features(sizes, axis_mm), bounds))
    return Interval(low=round(max(axis_mm - below, 0.0), 3), high=round(axis_mm + above, 3))


def _errors(values: NDArray[np.float64], bounds: Bounds) -> tuple[float, float]:
    below, above = (math.exp(min(float(values @ side), 10.0)) for side in (bounds.below, bounds.above))
    return below, above


def _reader_interval(size: float, name: str, digits: int) -> Interval:
    factor = READER_FACTORS[name]
    return Interval(low=round(size / factor, digits), high=round(size * factor, digits))


def relative_noise(lesion: Lesion, volume: Volume) -> float:
    """Return the noise of a lesion's core relative to its contrast with its surroundings on the same slices.

    Noise: the median absolute difference of neighbours along a row of the core (two pixels inside of the edge), scaled
    to a standard deviation; differences are insensitive to slow changes of the tissue. Contrast: the median of the core
    minus the lower quartile of a ring two pixels outside of the edge, which excludes adjacent vessels and chest wall.
    """
    inside, hu = _with_margin(lesion, volume)
    core = ndimage.binary_erosion(inside, CROSS, iterations=CORE_PX)
    dilated = ndimage.binary_dilation(inside, CROSS, iterations=RING_PX)
    ring = dilated & ~ndimage.binary_dilation(inside, CROSS, iterations=CORE_PX)
    pairs = core[:, :, 1:] & core[:, :, :-1]
    if np.count_nonzero(pairs) < MIN_PAIRS or not ring.any():
        return TYPICAL_NOISE
    noise_hu = 1.4826 * float(np.median(np.abs(np.diff(hu, axis=2)[pairs]))) / math.sqrt(2)
    contrast_hu = float(np.median(hu[core]) - np.percentile(hu[ring], 25))
    return float(np.clip(noise_hu / max(contrast_hu, 1.0), *NOISE_RANGE))


def _with_margin(lesion: Lesion, volume: Volume) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return the mask and the Hounsfield units in the lesion's box with an in-plane margin, cropped to the volume."""
    corner, margin = np.array(lesion.corner), np.array((0, RING_PX, RING_PX))
    low = np.maximum(corner - margin, 0)
    high = np.minimum(corner + lesion.voxels.shape + margin, volume.hu.shape)
    inside = np.zeros(high - low, bool)
    inside[tuple(slice(at, at + size) for at, size in zip(corner - low, lesion.voxels.shape, strict=True))] = (
        lesion.voxels
    )
    return inside, volume.hu[tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))]
