"""Geometry of a CT series: order of its slices and affine; raises a SeriesRejected if they form no regular volume.

Accepted geometries:

* Any storage order, head or feet first, prone, rows or columns reversed: the affine describes it.
* A tilt of the slices up to 30 degrees, the maximum of CT gantries, with slices shifted against each other (the table
  moves along the patient, not along the slices' normal): an affine represents this shear exactly. Beyond: NotAxial.
* Each gap between neighbours is compared with the median gap: above 1.5 times a slice is missing. In addition each
  slice may deviate by a tenth of the spacing (at least 0.1 mm) from its position in an even stack, which limits drift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.ct.frame_reference import frame_of
from worker.ct.rejections import (
    DifferingGeometry,
    DuplicatePositions,
    MissingGeometry,
    MissingSlices,
    NotAxial,
    TooFewSlices,
    UnevenSlices,
)

Array = NDArray[np.float64]

MIN_SLICES = 3
MAX_TILT_DEG = 30.0
MIN_GAP_MM = 0.01
MAX_GAP_RATIO = 1.5
COSINE_TOLERANCE = 1e-3
SPACING_TOLERANCE_MM = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Order and affine of the slices of a series.

    order: indices into the given data sets, along the normal of the slices.
    affine: float64 (4, 4), maps (slice, row, column, 1) of a voxel's centre to LPS mm.
    """

    order: tuple[int, ...]
    affine: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stack:
    """Geometry of the slices as arrays, one row per slice."""

    series_uid: str
    sop_instance_uids: tuple[str, ...]
    positions: Array  # (n, 3), LPS mm
    orientations: Array  # (n, 6)
    spacings: Array  # (n, 2), between rows, between columns

    def in_order(self, order: Sequence[int]) -> _Stack:
        """Return the same slices in another order."""
        return _Stack(
            series_uid=self.series_uid,
            sop_instance_uids=tuple(self.sop_instance_uids[i] for i in order),
            positions=self.positions[list(order)],
            orientations=self.orientations[list(order)],
            spacings=self.spacings[list(order)],
        )


def place(datasets: Sequence[Dataset]) -> Placement:
    """Return order and affine of the slices of one series. Raises a SeriesRejected (see rejections.py)."""
    stack = _read(datasets)
    _check_sizes(stack.series_uid, datasets)
    _check_equal(stack)
    row_direction, column_direction, normal = _directions(stack)
    _check_tilt(stack.series_uid, "the slices are tilted by", normal, np.array([0.0, 0.0, 1.0]))
    order = np.argsort(stack.positions @ normal, kind="stable").tolist()
    stack = stack.in_order(order)
    spacing_mm = _check_gaps(stack, stack.positions @ normal)
    step = _step(stack, spacing_mm)
    _check_tilt(stack.series_uid, "the stack leans against the slices' normal by", step, normal)
    affine = np.eye(4)
    affine[:3, 0] = step
    # PS3.3 C.7.6.2.1.1: the first three cosines are the direction of increasing column index, the last three that of
    # increasing row index; C.10.7.1.3: PixelSpacing is the distance between rows, then between columns.
    affine[:3, 1] = column_direction * stack.spacings[0, 0]
    affine[:3, 2] = row_direction * stack.spacings[0, 1]
    affine[:3, 3] = stack.positions[0]
    return Placement(order=tuple(order), affine=affine)


def _read(datasets: Sequence[Dataset]) -> _Stack:
    uid = str(datasets[0].SeriesInstanceUID)
    if len(datasets) < MIN_SLICES:
        raise TooFewSlices(uid, len(datasets), MIN_SLICES)
    return _Stack(
        series_uid=uid,
        sop_instance_uids=tuple(frame_of(ds).name for ds in datasets),
        positions=np.array([_numbers(ds, "ImagePositionPatient", 3) for ds in datasets]),
        orientations=np.array([_numbers(ds, "ImageOrientationPatient", 6) for ds in datasets]),
        spacings=np.array([_numbers(ds, "PixelSpacing", 2) for ds in datasets]),
    )


def _numbers(ds: Dataset, keyword: str, count: int) -> list[float]:
    try:
        value = ds.get(keyword)
        values = [float(v) for v in value] if value is not None else []
    except (TypeError, ValueError):
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        fact = f"{keyword} is missing or not {count} numbers"
        raise MissingGeometry(str(ds.SeriesInstanceUID), frame_of(ds).name, fact)
    return values


def _check_sizes(series_uid: str, datasets: Sequence[Dataset]) -> None:
    for keyword in ("Rows", "Columns"):
        sizes = [_size(ds, keyword) for ds in datasets]
        for ds, size in zip(datasets, sizes, strict=True):
            if size != sizes[0]:
                raise DifferingGeometry(series_uid, frame_of(ds).name, keyword, "equal")


def _size(ds: Dataset, keyword: str) -> int:
    try:
        size = int(ds.get(keyword, 0))
    except (TypeError, ValueError):
        size = 0
    if size < 1:
        raise MissingGeometry(str(ds.SeriesInstanceUID), frame_of(ds).name, f"{keyword} is missing or not above 0")
    return size


def _check_equal(stack: _Stack) -> None:
    rules = (
        ("ImageOrientationPatient", stack.orientations, COSINE_TOLERANCE, f"{COSINE_TOLERANCE:g} in each cosine"),
        ("PixelSpacing", stack.spacings, SPACING_TOLERANCE_MM, f"{SPACING_TOLERANCE_MM:g} mm"),
    )
    for keyword, values, tolerance, limit in rules:
        differs = np.abs(values - values[0]).max(axis=1) > tolerance
        if differs.any():
            raise DifferingGeometry(stack.series_uid, stack.sop_instance_uids[int(differs.argmax())], keyword, limit)
    if (stack.spacings <= 0).any():
        raise MissingGeometry(stack.series_uid, stack.sop_instance_uids[0], "PixelSpacing is not above 0")


def _directions(stack: _Stack) -> tuple[Array, Array, Array]:
    row, column = stack.orientations[0, :3], stack.orientations[0, 3:]
    lengths = np.array([np.linalg.norm(row), np.linalg.norm(column)])
    if np.abs(lengths - 1).max() > COSINE_TOLERANCE or abs(row @ column) > COSINE_TOLERANCE:
        fact = f"ImageOrientationPatient is not two unit vectors at right angles (limit {COSINE_TOLERANCE:g})"
        raise MissingGeometry(stack.series_uid, stack.sop_instance_uids[0], fact)
    normal = np.cross(row, column)
    return row / lengths[0], column / lengths[1], normal / np.linalg.norm(normal)


def _check_tilt(series_uid: str, fact: str, direction: Array, axis: Array) -> None:
    cosine = abs(float(direction @ axis)) / float(np.linalg.norm(direction))
    angle_deg = math.degrees(math.acos(min(1.0, cosine)))
    if angle_deg > MAX_TILT_DEG:
        raise NotAxial(series_uid, fact, angle_deg, MAX_TILT_DEG)


def _check_gaps(stack: _Stack, heights: Array) -> float:
    """Return the median gap. Raises DuplicatePositions or MissingSlices."""
    gaps, uids = np.diff(heights), stack.sop_instance_uids
    duplicates = np.flatnonzero(gaps < MIN_GAP_MM)
    if duplicates.size:
        first = int(duplicates[0])
        raise DuplicatePositions(stack.series_uid, (uids[first], uids[first + 1]), duplicates.size, MIN_GAP_MM)
    spacing_mm = float(np.median(gaps))
    wide = np.flatnonzero(gaps > MAX_GAP_RATIO * spacing_mm)
    if wide.size:
        widest = int(gaps.argmax())
        pair = (uids[widest], uids[widest + 1])
        gap_mm = float(gaps[widest])
        raise MissingSlices(stack.series_uid, gap_mm=gap_mm, spacing_mm=spacing_mm, gaps=wide.size, pair=pair)
    return spacing_mm


def _step(stack: _Stack, spacing_mm: float) -> Array:
    """Return the vector from slice to slice. Raises UnevenSlices if a slice deviates from an even stack."""
    n = len(stack.positions)
    step: Array = (stack.positions[-1] - stack.positions[0]) / (n - 1)
    limit_mm = max(0.1 * spacing_mm, 0.1)
    even = stack.positions[0] + np.arange(n)[:, None] * step
    deviation_mm = np.linalg.norm(stack.positions - even, axis=1)
    worst = int(deviation_mm.argmax())
    if deviation_mm[worst] > limit_mm:
        fact = f"it is {deviation_mm[worst]:.2f} mm from its position in an even stack of {spacing_mm:.2f} mm"
        raise UnevenSlices(stack.series_uid, stack.sop_instance_uids[worst], fact, limit_mm)
    return step
