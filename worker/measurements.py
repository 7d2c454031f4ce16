"""Measures one lesion in its volume. Pure arithmetic, each rule with its source."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform

from models.volume import Volume
from worker.lesions import Lesion

Points = NDArray[np.float64]
_EDGES = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A straight line on one axial slice, from voxel edge to voxel edge."""

    slice_index: int
    start_px: tuple[float, float]
    """(column, row) in pixels, the centre of the first pixel at (0, 0)."""
    end_px: tuple[float, float]
    start_mm: tuple[float, float, float]
    """LPS."""
    end_mm: tuple[float, float, float]
    length_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The numbers of one lesion."""

    volume_ml: float
    long_axis: Axis
    short_axis: Axis
    mean_hu: float
    sd_hu: float


def measure(lesion: Lesion, volume: Volume) -> Measurement:
    """Measure a lesion: volume, RECIST axes, mean and population standard deviation of its Hounsfield units."""
    box = tuple(slice(low, low + size) for low, size in zip(lesion.corner, lesion.voxels.shape, strict=True))
    hu = volume.hu[box][lesion.voxels].astype(np.float64)
    long_axis, short_axis = recist_axes(lesion, volume)
    return Measurement(
        volume_ml=round(float(np.count_nonzero(lesion.voxels)) * volume.voxel_ml, 4),
        long_axis=long_axis,
        short_axis=short_axis,
        mean_hu=round(float(hu.mean()), 2),
        sd_hu=round(float(hu.std()), 2),
    )


def recist_axes(lesion: Lesion, volume: Volume) -> tuple[Axis, Axis]:
    """Return the longest diameter on any one axial slice, and the longest perpendicular to it on that slice.

    RECIST 1.1, Eisenhauer 2009, section 4.1: the longest diameter in the plane of measurement. The outline is the
    marching-squares contour of the mask at one half, whose vertices are the middles of pixel edges: a disc of n pixels
    measures n pixels, neither n - 1 (centres) nor n + sqrt(2) (corners). Diameters run over its convex hull.
    """
    scale = np.array(volume.spacing[1:])
    longest: tuple[float, int, Points, tuple[int, int]] | None = None
    for index, hull in _hulls(lesion, scale):
        distances = squareform(pdist(hull * scale))
        first, second = np.unravel_index(int(distances.argmax()), distances.shape)
        if longest is None or distances[first, second] > longest[0] + 1e-9:
            longest = (float(distances[first, second]), index, hull, (int(first), int(second)))
    assert longest is not None  # noqa: S101  (a lesion has voxels)
    _, index, hull, (i, j) = longest
    long_axis = _axis(volume, index, hull[i], hull[j])
    return long_axis, _axis(volume, index, *_longest_perpendicular(hull, scale, hull[i], hull[j]))


def _hulls(lesion: Lesion, scale: Points) -> Iterator[tuple[int, Points]]:
    """Yield each slice's index in the volume with the hull of the outline, (row, column) in pixels, in turn."""
    for offset, plane in enumerate(lesion.voxels):
        pixels = np.argwhere(plane)
        if len(pixels):
            outline = (pixels[:, None, :] + _EDGES).reshape(-1, 2) + lesion.corner[1:]
            yield lesion.corner[0] + offset, outline[ConvexHull(outline * scale).vertices]


def _longest_perpendicular(hull: Points, scale: Points, start: Points, end: Points) -> tuple[Points, Points]:
    """Return the longest chord of the convex hull at a right angle to the line from start to end.

    The chord's length is concave along the line and linear between the hull's vertices, so one of them has the
    longest.
    """
    corners = hull * scale
    along = (end - start) * scale
    along /= np.linalg.norm(along)
    across = np.array([-along[1], along[0]])
    position, height = corners @ along, corners @ across
    chords = [_chord(position, height, where) for where in position]
    low, high, where = max(chords, key=lambda chord: chord[1] - chord[0])
    return (where * along + low * across) / scale, (where * along + high * across) / scale


def _chord(position: Points, height: Points, where: float) -> tuple[float, float, float]:
    """Return the lowest and the highest crossing of a closed polygon at `where`, and `where` itself."""
    crossings = [float(h) for p, h in zip(position, height, strict=True) if abs(p - where) < 1e-9]
    for p, h, q, g in zip(position, height, np.roll(position, -1), np.roll(height, -1), strict=True):
        if (p - where) * (q - where) < 0:
            crossings.append(float(h + (g - h) * (where - p) / (q - p)))
    return min(crossings), max(crossings), float(where)


def _axis(volume: Volume, index: int, start: Points, end: Points) -> Axis:
    ends_mm = [volume.affine[:3, :3] @ (index, *point) + volume.affine[:3, 3] for point in (start, end)]
    return Axis(
        slice_index=index,
        start_px=(float(start[1]), float(start[0])),
        end_px=(float(end[1]), float(end[0])),
        start_mm=tuple(float(value) for value in ends_mm[0]),  # type: ignore[arg-type]
        end_mm=tuple(float(value) for value in ends_mm[1]),  # type: ignore[arg-type]
        length_mm=round(float(np.linalg.norm(ends_mm[1] - ends_mm[0])), 3),
    )
