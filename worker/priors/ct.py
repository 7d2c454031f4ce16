"""CT of a prior scan: slice geometry and acquisition from its headers, voxels on demand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dicom_node.dicom_file import read_file
from dicom_node.frame_headers import frame_headers
from models.volume import Mask, Volume, spacing_of
from worker.ct.frame_reference import frame_of
from worker.ct.geometry import place
from worker.ct.reader import load
from worker.follow_up.acquisition import Acquisition
from worker.lesions.lesion import Lesion
from worker.lesions.measure import measure
from worker.lesions.recist_diameters import recist_axes
from worker.lesions.uncertainty import Sizes, sizes_of
from worker.priors.acquisition import acquisition_of
from worker.priors.documents import readable
from worker.priors.grid import Grid
from worker.priors.seg import resampled


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorCt:
    """Headers of a prior CT series; pixels are read on demand."""

    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    acquisition: Acquisition
    grid: Grid
    read_volume: Callable[[], Volume]
    """Reads the pixels on the first call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Measurements of an outline."""

    sizes: Sizes
    mass_g: float | None
    """None without pixels."""


def read_ct(paths: Sequence[Path]) -> PriorCt:
    """Read the headers. Raises PriorUnreadable if one is damaged, SeriesRejected if the slices form no volume."""
    with readable(f"a CT of {len(paths)} images"):
        headers = [header for path in paths for header in frame_headers(read_file(path, header_only=True))]
        placement = place(headers)
        first = headers[placement.order[0]]
        images = [frame_of(headers[index]) for index in placement.order]
        places = range(len(images)) if placement.places is None else placement.places
        slices = {image: float(place) for image, place in zip(images, places, strict=True)}
        return PriorCt(
            study_uid=str(first.StudyInstanceUID),
            series_uid=str(first.SeriesInstanceUID),
            frame_of_reference_uid=str(first.FrameOfReferenceUID),
            acquisition=acquisition_of(first),
            grid=Grid(affine=placement.affine, slices=slices, images=placement.places),
            read_volume=cache(lambda: load(paths).volume),
        )


def measured(outline: Mask, ct: PriorCt | None) -> Measured:
    """Return the measurements of an outline in its CT, as for our lesions; without a CT from its voxels only."""
    if ct is not None:
        volume = ct.read_volume()
        lesion = _in_volume(outline, volume)
        if lesion is not None:
            measurement = measure(lesion, volume)
            return Measured(sizes=sizes_of(lesion, measurement, volume), mass_g=measurement.density.mass_g)
    return Measured(sizes=_by_voxels(outline), mass_g=None)


def _in_volume(outline: Mask, volume: Volume) -> Lesion | None:
    """Return the outline as a lesion on the CT's grid; None if it contains no voxel of it."""
    voxels, corner = resampled(outline, volume.affine)
    low = np.maximum(corner, 0)
    high = np.minimum(np.add(corner, voxels.shape), volume.hu.shape)
    if (high <= low).any():
        return None
    cropped = voxels[tuple(slice(a - c, b - c) for a, b, c in zip(low, high, corner, strict=True))]
    indices = np.argwhere(cropped)
    if not len(indices):
        return None
    first, last = indices.min(axis=0), indices.max(axis=0) + 1
    box = cropped[tuple(slice(a, b) for a, b in zip(first, last, strict=True))]
    return _lesion(box, low + first)


def _by_voxels(outline: Mask) -> Sizes:
    volume = Volume(hu=np.zeros(outline.voxels.shape, np.float32), affine=outline.affine)
    long_axis, short_axis = recist_axes(_lesion(outline.voxels, np.zeros(3, int)), volume)
    return Sizes(
        volume_ml=round(float(np.count_nonzero(outline.voxels)) * outline.voxel_ml, 4),
        long_axis_mm=long_axis.length_mm,
        short_axis_mm=short_axis.length_mm,
        slices=int(outline.voxels.any(axis=(1, 2)).sum()),
        spacing_mm=spacing_of(outline.affine),
    )


def _lesion(voxels: NDArray[np.bool_], corner: NDArray[np.intp]) -> Lesion:
    slice_index, row, column = (int(index) for index in corner)
    return Lesion(
        number=1, tracking_id="", tracking_uid="", voxels=voxels, corner=(slice_index, row, column),
        centroid_mm=(math.nan, math.nan, math.nan),
    )  # fmt: skip
