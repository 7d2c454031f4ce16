"""Slice geometry from the image library of an SR, for prior scans without CT and SEG."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from worker.ct.frame_reference import frame_referred_to
from worker.frame import Frame
from worker.priors.grid import Grid

# PS3.16 TID 1600 to 1604. BETWEEN_SLICES is not in TID 1604; highdicom writes it from the header.
IMAGE_LIBRARY = "111028"
FRAME_OF_REFERENCE = "112227"
BETWEEN_COLUMNS, BETWEEN_ROWS, BETWEEN_SLICES = "111026", "111066", "112226"
POSITION = ("110901", "110902", "110903")
ROW_COSINES, COLUMN_COSINES = ("110904", "110905", "110906"), ("110907", "110908", "110909")


def library_grid(sr: Dataset) -> Grid | None:
    """Return the grid of the library's images, slices counted along the normal; None without complete geometry."""
    images = list(_images(sr))
    if not images:
        return None
    _, first = images[0]
    rows, columns = (_vector(first, names) for names in (ROW_COSINES, COLUMN_COSINES))
    normal = np.cross(rows, columns)
    positions = np.array([_vector(image, POSITION) for _, image in images])
    heights = positions @ normal
    lowest, highest = int(np.argmin(heights)), int(np.argmax(heights))
    spacing_mm = first.get(BETWEEN_SLICES) or _closest_mm(heights)
    if spacing_mm is None:
        return None
    places = (heights - heights[lowest]) / spacing_mm
    if BETWEEN_SLICES in first:  # else the distances of the images vary
        places = np.round(places)
    # In a sheared stack (tilted gantry) the step between slices is not parallel to the normal.
    span = places[highest]
    affine = np.eye(4)
    affine[:3, 0] = (positions[highest] - positions[lowest]) / span if span else normal * spacing_mm
    affine[:3, 1], affine[:3, 2] = columns * first[BETWEEN_ROWS], rows * first[BETWEEN_COLUMNS]
    affine[:3, 3] = positions[lowest]
    return Grid(affine=affine, slices={image: float(at) for (image, _), at in zip(images, places, strict=True)})


def _closest_mm(heights: NDArray[np.float64]) -> float | None:
    gaps = np.diff(np.unique(np.round(heights, 3)))
    return float(gaps.min()) if gaps.size else None


def library_frame_of_reference(sr: Dataset) -> str | None:
    """Return the Frame of Reference UID of the library's first image that has one, else None."""
    for image in _library_images(sr):
        for item in image.get("ContentSequence", ()):
            if item.ConceptNameCodeSequence[0].CodeValue == FRAME_OF_REFERENCE:
                return str(item.UID)
    return None


def _images(sr: Dataset) -> Iterator[tuple[Frame, dict[str, float]]]:
    """Yield each image with complete geometry, and its numbers by code value."""
    required = {BETWEEN_COLUMNS, BETWEEN_ROWS, *POSITION, *ROW_COSINES, *COLUMN_COSINES}
    for image in _library_images(sr):
        numbers = {
            str(item.ConceptNameCodeSequence[0].CodeValue): float(item.MeasuredValueSequence[0].NumericValue)
            for item in image.get("ContentSequence", ())
            if item.ValueType == "NUM" and item.MeasuredValueSequence
        }
        if required <= numbers.keys():
            yield frame_referred_to(image.ReferencedSOPSequence[0]), numbers


def _library_images(sr: Dataset) -> Iterator[Dataset]:
    for library in sr.ContentSequence:
        if library.ConceptNameCodeSequence[0].CodeValue == IMAGE_LIBRARY:
            for group in library.get("ContentSequence", ()):
                yield from (item for item in group.get("ContentSequence", ()) if item.ValueType == "IMAGE")


def _vector(numbers: dict[str, float], names: tuple[str, ...]) -> NDArray[np.float64]:
    return np.array([numbers[name] for name in names])
