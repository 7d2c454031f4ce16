"""The lungs of a scan as a file beside its results, for comparisons to come: NIfTI, lobes as labels. No CT in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK
from numpy.typing import NDArray
from scipy import ndimage

from models.lungs.lungs import Lungs
from models.volume import Mask, spacing_of

MOST_LEAN = 0.01
"""How far, in voxels, the last slice may have shifted against the first and the grid still counts as right-angled."""


def write_lungs(lungs: Lungs, path: Path) -> None:
    """Write the lobes, numbered as in `Lobe`, as compressed NIfTI; the name ends in `.nii.gz`."""
    lobes, affine = _unsheared(lungs.lobes, lungs.affine)
    image = SimpleITK.GetImageFromArray(lobes)
    spacing = spacing_of(affine)
    directions = affine[:3, :3] / spacing
    image.SetSpacing(spacing[::-1])  # SimpleITK counts (column, row, slice), also in LPS mm
    image.SetDirection(directions[:, ::-1].ravel().tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    SimpleITK.WriteImage(image, str(path), useCompression=True)


def read_lungs(path: Path) -> Mask:
    """Return both lungs as `write_lungs` wrote them. Raises RuntimeError when the file is damaged."""
    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    directions = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = (directions * image.GetSpacing())[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return Mask(voxels=SimpleITK.GetArrayFromImage(image) > 0, affine=affine)


def _unsheared(lobes: NDArray[np.uint8], affine: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the lobes on a grid of right angles: ITK would bend the axes of a tilted gantry without a word.

    The new axes are the rows, the columns and what is at right angles to both; each voxel takes its nearest.
    """
    spacing = spacing_of(affine)
    columns, rows = affine[:3, 2] / spacing[2], affine[:3, 1] / spacing[1]
    normal = np.cross(columns, rows)
    step_mm = float(normal @ affine[:3, 0])
    straight = affine.copy()
    straight[:3, 0] = step_mm * normal
    lean = np.linalg.solve(straight[:3, :3], affine[:3, 0])  # of one slice against the one before, in rows and columns
    if np.abs(lean[1:]).max() * (len(lobes) - 1) < MOST_LEAN:
        return lobes, affine
    ends = np.outer([0, len(lobes) - 1], lean[1:])
    first, last = np.floor(ends.min(0)), np.ceil(ends.max(0))
    shape = (len(lobes), *(int(n) for n in lobes.shape[1:] + last - first))
    straight[:3, 3] += straight[:3, 1:3] @ first
    back = np.linalg.inv(affine) @ straight
    moved = ndimage.affine_transform(lobes, back[:3, :3], back[:3, 3], shape, output=np.uint8, order=0)
    return np.asarray(moved, np.uint8), straight
