"""Lung mask file of a scan for future comparisons: NIfTI with lobes as labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

from models.lungs.lungs import Lungs
from models.volume import Mask, spacing_of

MAX_SHEAR_VOXELS = 0.01
"""Largest in-plane shift of the last slice against the first, in voxels, at which a grid counts as orthogonal."""


def write_lungs(lungs: Lungs, path: Path) -> None:
    """Write the lobes, numbered as in `Lobe`, as compressed NIfTI; `path` ends in `.nii.gz`."""
    lobes, affine = _orthogonal(lungs.lobes, lungs.affine)
    image = SimpleITK.GetImageFromArray(lobes)
    spacing = spacing_of(affine)
    directions = affine[:3, :3] / spacing
    image.SetSpacing(spacing[::-1])  # SimpleITK orders axes (column, row, slice) and uses LPS mm, too
    image.SetDirection(directions[:, ::-1].ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    SimpleITK.WriteImage(image, str(path), useCompression=True)


def read_lungs(path: Path) -> Mask:
    """Return the mask of both lungs written by `write_lungs`. Raises RuntimeError if the file is damaged."""
    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    directions = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = (directions * image.GetSpacing())[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return Mask(voxels=SimpleITK.GetArrayFromImage(image) > 0, affine=affine)


def _orthogonal(lobes: NDArray[np.uint8], affine: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the lobes on an orthogonal grid: ITK would silently change the axes of a tilted gantry.

    The new axes are the row direction, the column direction and their normal; nearest-neighbour interpolation.
    """
    spacing = spacing_of(affine)
    columns, rows = affine[:3, 2] / spacing[2], affine[:3, 1] / spacing[1]
    normal = np.cross(columns, rows)
    step_mm = float(normal @ affine[:3, 0])
    orthogonal = affine.copy()
    orthogonal[:3, 0] = step_mm * normal
    shear = np.linalg.solve(orthogonal[:3, :3], affine[:3, 0])  # [1:]: shift per slice, in rows and columns
    if np.abs(shear[1:]).max() * (len(lobes) - 1) < MAX_SHEAR_VOXELS:
        return lobes, affine
    ends = np.outer([0, len(lobes) - 1], shear[1:])
    first, last = np.floor(ends.min(0)), np.ceil(ends.max(0))
    shape = (len(lobes), *(int(n) for n in lobes.shape[1:] + last - first))
    orthogonal[:3, 3] += orthogonal[:3, 1:3] @ first
    to_source = np.linalg.inv(affine) @ orthogonal
    resampled = ndimage.affine_transform(lobes, to_source[:3, :3], to_source[:3, 3], shape, output=np.uint8, order=0)
    return np.asarray(resampled, np.uint8), orthogonal
