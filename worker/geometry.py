"""Where the slices of a series lie in space, or why that cannot be said. Knows headers, no pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.errors import SeriesRejected

SMALLEST_NORMAL_Z = 0.8
"""Cosine of the angle between the slices' normal and the patient's long axis: up to 36 degrees, which gantry tilt
(30 at most on any scanner) stays below, and sagittal, coronal and oblique reformats do not."""
SPACING_TOLERANCE = 0.05
"""Share of the median spacing by which any two neighbours may differ from it, and at least ..."""
SPACING_TOLERANCE_MM = 0.06
"""... this: positions are written with few decimals."""
DRIFT_MM = 0.5
"""How far a slice may lie beside the straight line through all positions."""
ORIENTATION_TOLERANCE = 1e-3
_REQUIRED = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")

Vector = NDArray[np.float64]


class MissingGeometry(SeriesRejected):
    """An instance does not say where it lies."""


class MixedGeometry(SeriesRejected):
    """Instances differ in orientation, pixel spacing or size."""


class NotAxial(SeriesRejected):
    """The slices are a sagittal, coronal or oblique reformat."""


class DuplicatePositions(SeriesRejected):
    """Two instances lie at one position."""


class MissingSlices(SeriesRejected):
    """The distance between two neighbours is not that of the others."""


class CrookedStack(SeriesRejected):
    """The slices do not follow a straight line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """order: indices of the headers in slice order, along the normal. affine: (slice, row, column) to LPS mm."""

    order: tuple[int, ...]
    affine: NDArray[np.float64]


def place(series_uid: str, headers: Sequence[Dataset]) -> Placement:
    """Order the slices and place them in space. Raises SeriesRejected, named for what forbids it.

    Slices follow the normal (row direction x column direction, PS3.3 C.7.6.2.1.1). A stack sheared by gantry tilt
    keeps its shear in the affine's first column, so every voxel stays where the scanner put it.
    """
    _require_geometry(series_uid, headers)
    _require_one_grid(series_uid, headers)
    row, column = np.split(np.array(headers[0].ImageOrientationPatient, float), 2)
    normal = np.cross(row, column)
    if abs(normal[2]) < SMALLEST_NORMAL_Z:
        raise NotAxial(
            series_uid, f"slices are not axial: their normal has |z| {abs(normal[2]):.2f}, limit {SMALLEST_NORMAL_Z}"
        )
    positions = np.array([header.ImagePositionPatient for header in headers], float)
    order = np.argsort(positions @ normal, kind="stable")
    _require_even_spacing(series_uid, [headers[i] for i in order], (positions @ normal)[order])
    step = (positions[order[-1]] - positions[order[0]]) / (len(order) - 1)
    _require_straight(series_uid, positions[order], step)
    row_mm, column_mm = (float(value) for value in headers[0].PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = step, column * row_mm, row * column_mm
    affine[:3, 3] = positions[order[0]]
    return Placement(order=tuple(int(i) for i in order), affine=affine)


def _require_geometry(series_uid: str, headers: Sequence[Dataset]) -> None:
    for header in headers:
        for keyword in _REQUIRED:
            if header.get(keyword) in (None, "", []):
                raise MissingGeometry(series_uid, f"instance {header.SOPInstanceUID} has no {keyword}")


def _require_one_grid(series_uid: str, headers: Sequence[Dataset]) -> None:
    first = headers[0]
    for header in headers:
        turned = np.abs(np.subtract(header.ImageOrientationPatient, first.ImageOrientationPatient)).max()
        if turned > ORIENTATION_TOLERANCE:
            raise MixedGeometry(
                series_uid,
                f"instance {header.SOPInstanceUID} is oriented otherwise than the first: "
                f"direction cosines differ by {turned:.4f}, limit {ORIENTATION_TOLERANCE}",
            )
        if (header.Rows, header.Columns) != (first.Rows, first.Columns):
            raise MixedGeometry(
                series_uid,
                f"instance {header.SOPInstanceUID} has {header.Rows} x {header.Columns} pixels, "
                f"others {first.Rows} x {first.Columns}",
            )
        if not np.allclose(header.PixelSpacing, first.PixelSpacing, rtol=1e-3):
            raise MixedGeometry(series_uid, f"instance {header.SOPInstanceUID} has another PixelSpacing than the first")


def _require_even_spacing(series_uid: str, headers: Sequence[Dataset], heights: Vector) -> None:
    gaps = np.diff(heights)
    usual = float(np.median(gaps))
    limit = max(SPACING_TOLERANCE * usual, SPACING_TOLERANCE_MM)
    for index, gap in enumerate(gaps):
        after, before = headers[index].SOPInstanceUID, headers[index + 1].SOPInstanceUID
        if gap < min(0.01, 0.1 * usual) or usual == 0:
            raise DuplicatePositions(series_uid, f"instances {after} and {before} lie at one position")
        if abs(gap - usual) > limit:
            raise MissingSlices(
                series_uid,
                f"gap of {gap:.2f} mm between instances {after} and {before}, "
                f"the others are {usual:.2f} mm apart, limit +-{limit:.2f} mm",
            )


def _require_straight(series_uid: str, positions: NDArray[np.float64], step: Vector) -> None:
    expected = positions[0] + np.arange(len(positions))[:, None] * step
    drift = float(np.linalg.norm(positions - expected, axis=1).max())
    if drift > DRIFT_MM:
        raise CrookedStack(
            series_uid, f"a slice lies {drift:.2f} mm off the line through first and last, limit {DRIFT_MM} mm"
        )
