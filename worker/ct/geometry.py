"""Geometry of a CT series: order of its slices and affine; raises a SeriesRejected if they form no regular volume.

Accepted geometries:

* Any storage order, head or feet first, prone, rows or columns reversed: the affine describes it.
* A tilt of the slices up to 30 degrees, the maximum of CT gantries, with slices shifted against each other (the table
  moves along the patient, not along the slices' normal): an affine represents this shear exactly. Beyond: NotAxial.
* Each slice may deviate by a tenth of the spacing (at least 0.1 mm) from its position in an even, straight stack.
* A spacing that changes within the series, up to 10 mm, if no slice is missing (spacing.py): an even stack is made of
  these slices (resampling.py). A slice that is shifted sideways against the others is refused: ShiftedSlices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.dicom_file import number_of, value_of
from dicom_node.selection.missing_slices import missing_slices
from worker.ct.frame_reference import frame_of
from worker.ct.rejections import (
    DifferingGeometry,
    DuplicatePositions,
    MissingGeometry,
    MissingSlices,
    NotAxial,
    ShiftedSlices,
    TooFewSlices,
    WideGaps,
)
from worker.ct.spacing import even_places, even_spacing_mm, is_even, tolerance_mm

Array = NDArray[np.float64]

MIN_SLICES = 3
MAX_TILT_DEG = 30.0
MIN_GAP_MM = 0.01
MAX_VARYING_GAP_MM = 10.0
"""In a stack of varying spacing: small lesions between two slices are not seen."""
COSINE_TOLERANCE = 1e-3
SPACING_TOLERANCE_MM = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Order and affine of the slices of a series.

    order: indices into the given data sets, along the normal of the slices.
    affine: float64 (4, 4), maps (slice, row, column, 1) of a voxel's centre to LPS mm.
    places: float64, the coordinate of each slice in the even stack that the affine describes, in `order`; None if the
    slices themselves are evenly spaced.
    """

    order: tuple[int, ...]
    affine: Array
    places: Array | None


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
    stack, datasets = stack.in_order(order), [datasets[index] for index in order]
    heights = stack.positions @ normal
    _check_duplicates(stack, heights)
    lean = _lean(stack, heights)
    _check_tilt(stack.series_uid, "the stack leans against the slices' normal by", lean, normal)
    spacing_mm, places = (heights[-1] - heights[0]) / (len(heights) - 1), None
    if not is_even(heights):
        _check_gaps(stack, heights, datasets)
        spacing_mm = even_spacing_mm(heights)
        places = even_places(heights, spacing_mm)
    affine = np.eye(4)
    affine[:3, 0] = lean * spacing_mm
    # PS3.3 C.7.6.2.1.1: the first three cosines are the direction of increasing column index, the last three that of
    # increasing row index; C.10.7.1.3: PixelSpacing is the distance between rows, then between columns.
    affine[:3, 1] = column_direction * stack.spacings[0, 0]
    affine[:3, 2] = row_direction * stack.spacings[0, 1]
    affine[:3, 3] = stack.positions[0] - (0.0 if places is None else places[0]) * affine[:3, 0]
    return Placement(order=tuple(order), affine=affine, places=places)


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
        values = [float(v) for v in value_of(ds, keyword) or ()]
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
        size = int(value_of(ds, keyword) or 0)
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
    if round(angle_deg, 1) > MAX_TILT_DEG:
        raise NotAxial(series_uid, fact, angle_deg, MAX_TILT_DEG)


def _check_duplicates(stack: _Stack, heights: Array) -> None:
    at = np.flatnonzero(np.diff(heights) < MIN_GAP_MM)
    if at.size:
        pair = (stack.sop_instance_uids[at[0]], stack.sop_instance_uids[at[0] + 1])
        raise DuplicatePositions(stack.series_uid, pair, at.size, MIN_GAP_MM)


def _check_gaps(stack: _Stack, heights: Array, datasets: Sequence[Dataset]) -> None:
    """Raise MissingSlices or WideGaps for a stack that is not evenly spaced."""
    gaps, uids = np.diff(heights), stack.sop_instance_uids
    missing = np.array(missing_slices(heights.tolist(), [number_of(ds) for ds in datasets]))
    lacking = np.flatnonzero(missing if missing.any() else gaps > MAX_VARYING_GAP_MM)
    if not lacking.size:
        return
    widest = int(lacking[gaps[lacking].argmax()])
    pair, gap_mm = (uids[widest], uids[widest + 1]), float(gaps[widest])
    if missing.any():
        spacing_mm = float(np.median(gaps[~missing])) if not missing.all() else gap_mm
        raise MissingSlices(stack.series_uid, gap_mm=gap_mm, spacing_mm=spacing_mm, gaps=lacking.size, pair=pair)
    raise WideGaps(stack.series_uid, gap_mm=gap_mm, limit_mm=MAX_VARYING_GAP_MM, gaps=lacking.size, pair=pair)


def _lean(stack: _Stack, heights: Array) -> Array:
    """Return the vector from the first to the last slice for each mm of height. Raises ShiftedSlices."""
    lean: Array = (stack.positions[-1] - stack.positions[0]) / (heights[-1] - heights[0])
    straight = stack.positions[0] + (heights - heights[0])[:, None] * lean
    aside_mm = np.linalg.norm(stack.positions - straight, axis=1)
    worst, limit_mm = int(aside_mm.argmax()), tolerance_mm(heights)
    if aside_mm[worst] > limit_mm:
        raise ShiftedSlices(stack.series_uid, stack.sop_instance_uids[worst], float(aside_mm[worst]), limit_mm)
    return lean
