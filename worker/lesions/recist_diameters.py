"""RECIST long and short axis of a lesion, two perpendicular lines on one axial slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from contourpy import contour_generator
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist, squareform

from models.volume import Volume
from worker.lesions.lesion import Lesion

Points = NDArray[np.float64]

BLUR_PX = 0.7
"""Standard deviation of the in-plane blur. The outline is the marching-squares contour of the blurred mask (1 inside,
0 outside) at OUTLINE_LEVEL.

Without blur, the longest diameter ends in protruding pixels; more blur would round off the corners that an axis ends
in. On 1,073 phantoms of 6 to 50 mm and slices up to 1.5 mm, the long axis is on average 0.20 pixels too long with a
maximum error of 0.96 pixels; the short axis is 0.16 pixels too short, 99.8 % within one pixel
(benchmarks/measurement_error.py).
"""
OUTLINE_LEVEL = 0.54
BARE_LEVEL = 2 / 3
"""Contour level for the mask without blur, used if a part is too thin or the blur removes more than a pixel from a side
(a tail one pixel thin): a third of a pixel outside of the centres of the outermost pixels."""
MAX_CORNERS = 1000
OUTLINE_MARGIN_PX = 4
DIRECTIONS = np.arange(8) * np.pi / 8
ANY_NEIGHBOUR = np.ones((3, 3), bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A straight line between two points of the lesion's outline on one axial slice."""

    slice_index: int
    start_px: tuple[float, float]
    """(column, row) in pixels; the centre of the first pixel is (0, 0)."""
    end_px: tuple[float, float]
    start_mm: tuple[float, float, float]
    """(x, y, z), LPS."""
    end_mm: tuple[float, float, float]
    length_mm: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """One connected part of a lesion on one slice, in its box; the box's first pixel is at `corner` (row, column)."""

    slice_index: int
    corner: tuple[int, int]
    pixels: NDArray[np.bool_]
    limit_mm: float
    """Upper bound of its diameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outline:
    """Edges of a part's outline, (n, 2): row, column in mm from the centre of the slice's first pixel."""

    slice_index: int
    starts: Points
    ends: Points


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line between two points of an outline."""

    outline: _Outline
    start: Points
    end: Points

    @property
    def length_mm(self) -> float:
        return float(np.linalg.norm(self.end - self.start))


def recist_axes(lesion: Lesion, volume: Volume) -> tuple[Axis, Axis]:
    """Return the longest diameter on any axial slice, and the longest perpendicular to it on the same slice.

    RECIST 1.1, Eisenhauer 2009, section 4.1: the longest diameter in the plane of measurement. Parts that are not
    connected on a slice are measured separately, so that no axis spans healthy lung. Of equally long diameters, the
    one closest to the lesion's middle slice is returned. In a resampled stack, only slices next to an image are
    measured, so that the axes can be drawn on it; a lesion between two images is measured on its own slices.
    """
    pixel_mm = np.array(volume.spacing[1:])
    middle = lesion.corner[0] + float(np.mean(np.nonzero(lesion.voxels)[0]))
    lines: list[_Line] = []
    shown = set(volume.images.tolist())
    parts = list(_parts(lesion, pixel_mm))
    parts = [part for part in parts if part.slice_index in shown] or parts
    for part in sorted(parts, key=lambda part: -part.limit_mm):
        if lines and part.limit_mm < max(line.length_mm for line in lines):
            break
        lines.append(_longest_diameter(_outline(part, pixel_mm)))
    longest = max(lines, key=lambda line: (round(line.length_mm, 6), -abs(line.outline.slice_index - middle)))
    return _axis(volume, longest), _axis(volume, _longest_perpendicular(longest))


def _parts(lesion: Lesion, pixel_mm: Points) -> Iterator[_Part]:
    for offset, plane in enumerate(lesion.voxels):
        labels, _ = ndimage.label(plane, ANY_NEIGHBOUR)
        for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
            pixels = labels[rows, columns] == number
            yield _Part(
                slice_index=lesion.corner[0] + offset,
                corner=(lesion.corner[1] + rows.start, lesion.corner[2] + columns.start),
                pixels=pixels,
                limit_mm=_limit_mm(pixels, pixel_mm),
            )


def _limit_mm(pixels: NDArray[np.bool_], pixel_mm: Points) -> float:
    """Return an upper bound of the longest diameter.

    The largest extent along DIRECTIONS, between the centres of the first and last pixel of each row, is corrected for
    half an angular step and extended by one pixel at each end.
    """
    rows = np.arange(len(pixels))
    last = pixels.shape[1] - 1 - pixels[:, ::-1].argmax(axis=1)
    ends = np.concatenate([np.column_stack([rows, columns]) for columns in (pixels.argmax(axis=1), last)]) * pixel_mm
    widths = np.ptp(ends @ np.stack([np.cos(DIRECTIONS), np.sin(DIRECTIONS)]), axis=0)
    return float(widths.max() / np.cos(DIRECTIONS[1] / 2) + 2 * np.linalg.norm(pixel_mm))


def _outline(part: _Part, pixel_mm: Points) -> _Outline:
    inside = np.pad(part.pixels, OUTLINE_MARGIN_PX).astype(np.float64)
    corner = np.array(part.corner) - OUTLINE_MARGIN_PX
    blurred = ndimage.gaussian_filter(inside, BLUR_PX)
    plane, level = (blurred, OUTLINE_LEVEL) if _preserves_extent(inside, blurred) else (inside, BARE_LEVEL)
    # contourpy gives closed contours, as (column, row).
    contours = [
        (np.asarray(contour)[:, ::-1] + corner) * pixel_mm for contour in contour_generator(z=plane).lines(level)
    ]
    return _Outline(
        slice_index=part.slice_index,
        starts=np.concatenate([contour[:-1] for contour in contours]),
        ends=np.concatenate([contour[1:] for contour in contours]),
    )


def _preserves_extent(inside: Points, blurred: Points) -> bool:
    """Return whether the part is at least three pixels wide and the blur moves no side by more than a pixel."""
    (rows, columns), (blurred_rows, blurred_columns) = np.nonzero(inside), np.nonzero(blurred > OUTLINE_LEVEL)
    if not blurred_rows.size:
        return False
    sides = ((rows, blurred_rows), (columns, blurred_columns))
    return all(
        np.ptp(sharp) >= 2 and abs(sharp.min() - smoothed.min()) <= 1 and abs(sharp.max() - smoothed.max()) <= 1
        for sharp, smoothed in sides
    )


def _longest_diameter(outline: _Outline) -> _Line:
    """Return the longest line between two points of the outline; both are vertices of its convex hull."""
    hull = outline.starts[ConvexHull(outline.starts).vertices]
    distances = np.round(squareform(pdist(hull)), 9)  # rounded: equal lengths give the same result on every machine
    first, second = np.unravel_index(int(distances.argmax()), distances.shape)
    return _Line(outline=outline, start=hull[first], end=hull[second])


def _longest_perpendicular(line: _Line) -> _Line:
    """Return the longest line between two points of the outline perpendicular to `line`.

    The extent across `line` is piecewise linear between the outline's corners, so its maximum is at a corner. Outlines
    with more than MAX_CORNERS corners are subsampled evenly.
    """
    along = (line.end - line.start) / line.length_mm
    across = np.array([-along[1], along[0]])
    starts, ends = line.outline.starts, line.outline.ends
    edges = (starts @ along, starts @ across, ends @ along, ends @ across)
    candidates = edges[0][:: 1 + len(starts) // MAX_CORNERS]
    extents = [_extent(float(at), *edges) for at in candidates]
    best = int(np.argmax([round(high - low, 9) for low, high in extents]))
    low, high = extents[best]
    base = candidates[best] * along
    return _Line(outline=line.outline, start=base + low * across, end=base + high * across)


def _extent(at: float, p: Points, h: Points, q: Points, g: Points) -> tuple[float, float]:
    """Return the lowest and the highest intersection of the edges (p, h) to (q, g) with the perpendicular at `at`."""
    fraction = (at - p) / np.where(p == q, np.inf, q - p)
    # Tolerance: rounding may separate the end of one edge from the start of the next.
    intersected = (fraction >= -1e-9) & (fraction <= 1 + 1e-9) & (p != q)
    heights = (h + fraction * (g - h))[intersected]
    return float(heights.min()), float(heights.max())


def _axis(volume: Volume, line: _Line) -> Axis:
    index = line.outline.slice_index
    ends_px = [point / volume.spacing[1:] for point in (line.start, line.end)]
    ends_mm = [volume.affine[:3, :3] @ (index, *point) + volume.affine[:3, 3] for point in ends_px]
    return Axis(
        slice_index=index,
        start_px=(float(ends_px[0][1]), float(ends_px[0][0])),
        end_px=(float(ends_px[1][1]), float(ends_px[1][0])),
        start_mm=_point(ends_mm[0]),
        end_mm=_point(ends_mm[1]),
        length_mm=round(float(np.linalg.norm(ends_mm[1] - ends_mm[0])), 3),
    )


def _point(coordinates: Points) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in coordinates)
    return x, y, z
