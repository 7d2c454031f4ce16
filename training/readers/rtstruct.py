"""Marks the tumour regions of an RTSTRUCT on the grid of its CT: closed planar contours become voxels.

A voxel belongs to a region if its centre is inside the contour or on its path (PS3.3 C.8.8.6.3: points on the path are
part of the ROI). Several contours of a region in one slice are combined by exclusive or, so that a contour within
another one is a hole; the standard says so for CLOSEDPLANAR_XOR, and planning systems write holes that way under
CLOSED_PLANAR too. The path of a hole belongs to the region.

Points, open contours and contours of fewer than three points enclose nothing and are ignored. Slices between two
contours are not interpolated.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset

from training.readers.case import DataRefused
from training.readers.outline import Array, Bools, ContourCanvas, TumourNames

RTSTRUCT_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
DIGITS = 3
"""Contour Data is decimal text: rounding to a thousandth of a pixel decides reliably what is on an edge."""


def mark_regions(rtstruct: Dataset, canvas: ContourCanvas, tumour: TumourNames) -> None:
    """Mark every region that is a tumour by name or interpreted type. Raises DataRefused if there is none."""
    numbers = _wanted(rtstruct, tumour)
    if not numbers:
        count = len(rtstruct.get("StructureSetROISequence") or ())
        raise DataRefused(f"none of its {count} region(s) is a tumour by name or type (see --tumour)")
    for region in rtstruct.get("ROIContourSequence") or ():
        if int(region.ReferencedROINumber) in numbers:
            _mark_region(region, canvas)


def inside(polygon: Array, shape: tuple[int, int]) -> tuple[Bools, Bools]:
    """Return the pixels whose centres are inside a polygon (n, 2) of (row, column), and those on its path.

    Inside is computed by even-odd crossings of rows, for which a polygon is half open: the path is returned separately.
    """
    crossed, path = np.zeros((shape[0], shape[1] + 1), bool), np.zeros(shape, bool)
    for (r0, c0), (r1, c1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        _mark_path(path, (r0, c0), (r1, c1))
        rows = np.arange(max(0, math.ceil(min(r0, r1))), min(shape[0], math.ceil(max(r0, r1))))
        if len(rows):
            columns = np.ceil(_columns_at(rows, (r0, c0), (r1, c1))).clip(0, shape[1]).astype(int)
            crossed[rows, columns] ^= True
    return np.logical_xor.accumulate(crossed, axis=1)[:, :-1], path


def _wanted(rtstruct: Dataset, tumour: TumourNames) -> set[int]:
    names: dict[int, list[str]] = defaultdict(list)
    for region in rtstruct.get("StructureSetROISequence") or ():
        names[int(region.ROINumber)].append(str(region.get("ROIName", "")))
    for observation in rtstruct.get("RTROIObservationsSequence") or ():
        names[int(observation.ReferencedROINumber)].append(str(observation.get("RTROIInterpretedType", "")))
    return {number for number, called in names.items() if tumour.matches(called)}


def _mark_region(region: Dataset, canvas: ContourCanvas) -> None:
    shape = (canvas.mask.shape[1], canvas.mask.shape[2])
    areas: dict[int, Bools] = defaultdict(lambda: np.zeros(shape, bool))
    paths: dict[int, Bools] = defaultdict(lambda: np.zeros(shape, bool))
    for points in _closed_contours(region):
        index = canvas.index(points)
        number = canvas.slice_of(index)
        area, path = inside(np.round(index[:, 1:], DIGITS), shape)
        areas[number] ^= area
        paths[number] |= path
    for number, area in areas.items():
        canvas.mask[number] |= area | paths[number]


def _closed_contours(region: Dataset) -> Iterator[Array]:
    """Yield the points (n, 3), LPS mm, of each closed contour with at least three points."""
    for contour in region.get("ContourSequence") or ():
        numbers = np.array(contour.get("ContourData") or (), float)
        if len(numbers) % 3 or not np.isfinite(numbers).all():
            raise DataRefused(
                f"a contour has {len(numbers)} coordinates, three finite values for each point are needed"
            )
        if contour.get("ContourGeometricType") in CLOSED and len(numbers) >= 9:
            yield numbers.reshape(-1, 3)


def _columns_at(rows: Array, start: tuple[float, float], end: tuple[float, float]) -> Array:
    """Return the columns at which an edge that is not horizontal crosses rows."""
    columns = start[1] + (rows - start[0]) * (end[1] - start[1]) / (end[0] - start[0])
    return np.asarray(np.round(columns, DIGITS))


def _mark_path(path: Bools, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Mark the pixels whose centres are on an edge."""
    (r0, c0), (r1, c1) = sorted((start, end))
    rows = np.arange(max(0, math.ceil(r0)), min(path.shape[0], math.floor(r1) + 1))
    if r0 == r1:
        first, last = max(0, math.ceil(min(c0, c1))), math.floor(max(c0, c1))
        path[rows, first : max(first, last + 1)] = True
        return
    columns = _columns_at(rows, (r0, c0), (r1, c1))
    on = (columns == np.rint(columns)) & (columns >= 0) & (columns < path.shape[1])
    path[rows[on], columns[on].astype(int)] = True
