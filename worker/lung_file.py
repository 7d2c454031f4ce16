"""The lungs of a scan as a file beside its results, for comparisons to come: NIfTI, lobes as labels. No CT in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK

from models.lungs.lungs import Lungs
from models.volume import Mask, spacing_of


def write_lungs(lungs: Lungs, path: Path) -> None:
    """Write the lobes, numbered as in `Lobe`, as compressed NIfTI; the name ends in `.nii.gz`."""
    image = SimpleITK.GetImageFromArray(lungs.lobes)
    spacing = spacing_of(lungs.affine)
    directions = lungs.affine[:3, :3] / spacing
    image.SetSpacing(spacing[::-1])  # SimpleITK counts (column, row, slice), also in LPS mm
    image.SetDirection(directions[:, ::-1].ravel().tolist())
    image.SetOrigin(lungs.affine[:3, 3].tolist())
    SimpleITK.WriteImage(image, str(path), useCompression=True)


def read_lungs(path: Path) -> Mask:
    """Return both lungs as `write_lungs` wrote them. Raises RuntimeError when the file is damaged."""
    image = SimpleITK.ReadImage(str(path))
    affine = np.eye(4)
    directions = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = (directions * image.GetSpacing())[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return Mask(voxels=SimpleITK.GetArrayFromImage(image) > 0, affine=affine)
