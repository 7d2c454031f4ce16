"""Reads and checks one NIfTI file, an image or a label.

NIfTI's coordinates are RAS (nifti1.h: x to the right, y to anterior, z to the head) and its arrays are ordered (x, y,
z); the result is in LPS and (slice, row, column). A file is decompressed completely, so that gzip's checksum is
verified: a partial read would not notice a damaged end.
"""

from __future__ import annotations

import gzip
import logging
import math
import zlib
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray

from models.orientation import orientation_of
from models.volume import spacing_of
from training.readers.case import DataRefused
from training.readers.hounsfield import hounsfield

Affine = NDArray[np.float64]

TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
NIFTI_2_HEADER = (540).to_bytes(4, "little"), (540).to_bytes(4, "big")
VOXEL_MM = (0.1, 20.0)
MAX_TILT_DEG = 30.0
"""Largest gantry tilt, as for DICOM series."""
MAX_OFFSET = 0.1
"""Largest distance of a label's voxels from the image's, in units of the smallest voxel side: headers are rounded."""

logging.getLogger("nibabel.global").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True, kw_only=True)
class NiftiGrid:
    """A file's voxels (slice, row, column), and the affine that maps (slice, row, column, 1) to LPS mm."""

    voxels: NDArray[Any]
    affine: Affine


def read_ct(path: Path) -> NiftiGrid:
    """Return an image in Hounsfield units, int16. Raises DataRefused."""
    grid = _read(path)
    return NiftiGrid(voxels=hounsfield(grid.voxels), affine=grid.affine)


def read_label(path: Path) -> NiftiGrid:
    """Return a label as bool. Raises DataRefused if a value is neither 0 nor 1."""
    grid = _read(path)
    other = grid.voxels[(grid.voxels != 0) & (grid.voxels != 1)]
    if other.size:
        values = ", ".join(f"{value:g}" for value in np.unique(other)[:5])
        raise DataRefused(f"label value {values} in {other.size} voxel(s), only 0 and 1 are allowed")
    return NiftiGrid(voxels=grid.voxels == 1, affine=grid.affine)


def check_same_grid(image: NiftiGrid, label: NiftiGrid) -> None:
    """Raise DataRefused unless a label is on its image's grid."""
    if label.voxels.shape != image.voxels.shape:
        raise DataRefused(f"its shape is {_shape(label)}, its image's is {_shape(image)}")
    ends = [(*corner, 1) for corner in product(*((0, size - 1) for size in image.voxels.shape))]
    off_mm = float(np.linalg.norm((label.affine - image.affine) @ np.array(ends).T, axis=0).max())
    limit_mm = MAX_OFFSET * min(spacing_of(image.affine))
    if off_mm > limit_mm:
        raise DataRefused(f"its affine places voxels {off_mm:.2f} mm from those of its image (limit {limit_mm:.2f} mm)")


def _read(path: Path) -> NiftiGrid:
    content = _unpacked(path)
    kind = nibabel.Nifti2Image if content[:4] in NIFTI_2_HEADER else nibabel.Nifti1Image
    try:
        image = kind.from_bytes(content)
        if len(image.shape) != 3:
            raise DataRefused(f"has {len(image.shape)} axes ({' x '.join(map(str, image.shape))}), 3 are needed")
        affine = _affine(image.header)
        voxels = np.asanyarray(image.dataobj)
    except (HeaderDataError, ImageFileError, WrapStructError, OSError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, DataRefused):
            raise
        raise DataRefused("not a complete NIfTI file") from error
    return NiftiGrid(voxels=voxels.transpose(), affine=(TO_LPS @ affine)[:, [2, 1, 0, 3]])


def _unpacked(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataRefused(f"cannot be read: {error.strerror}") from error
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except EOFError as error:
        raise DataRefused("truncated gzip") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataRefused("corrupt gzip") from error


def _affine(header: Any) -> Affine:  # noqa: ANN401 - nibabel's header has no useful type
    """Return the affine of the stored array axes to RAS mm. Raises DataRefused if the header does not define it."""
    sform, _ = header.get_sform(coded=True)
    try:
        qform, _ = header.get_qform(coded=True)
    except (ValueError, HeaderDataError) as error:
        raise DataRefused("its qform is not a rotation") from error
    given = [affine for affine in (sform, qform) if affine is not None]
    if not given:
        raise DataRefused("has neither sform nor qform, so left and right are unknown")
    for affine in given:
        _check_affine(affine)
    if len(given) == 2:
        _check_agreement(*given)
    return np.asarray(given[0], np.float64)


def _check_affine(affine: Affine) -> None:
    if not np.isfinite(affine).all():
        raise DataRefused("its affine is not finite")
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if sizes.min() < VOXEL_MM[0] or sizes.max() > VOXEL_MM[1]:
        size = " x ".join(f"{size:g}" for size in sizes)
        raise DataRefused(f"its voxel size is {size} mm, {VOXEL_MM[0]:g} to {VOXEL_MM[1]:g} mm are allowed")
    cosines = np.abs(affine[:3, :3] / sizes)
    nearest = np.argmax(cosines, axis=0)
    tilt_deg = math.degrees(math.acos(min(1.0, float(cosines.max(axis=0).min()))))
    if len(set(nearest)) < 3 or tilt_deg > MAX_TILT_DEG:
        raise DataRefused(f"its axes are tilted {tilt_deg:.0f} degrees from the patient's (limit {MAX_TILT_DEG:g})")


def _check_agreement(sform: Affine, qform: Affine) -> None:
    """Raise DataRefused unless both give the same stack: readers differ in which of the two they use."""
    sizes = spacing_of(sform), spacing_of(qform)
    if orientation_of(sform) != orientation_of(qform) or not np.allclose(*sizes, rtol=0.01):
        raise DataRefused("sform and qform disagree in orientation or voxel size")


def _shape(grid: NiftiGrid) -> str:
    return " x ".join(map(str, grid.voxels.shape[::-1]))
