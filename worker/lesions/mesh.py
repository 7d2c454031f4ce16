"""The surface of a lesion as a closed mesh of triangles. Knows geometry alone: no features, no Hounsfield units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import marching_cubes


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """A closed surface.

    points_mm: float64 (points, 3), LPS axes, from the centre of the first voxel of the lesion's box.
    triangles: (triangles, 3), indices of points, all turning the same way round.
    """

    points_mm: NDArray[np.float64]
    triangles: NDArray[np.intp]
    surface_mm2: float
    """The sum of the triangles' areas."""
    volume_mm3: float
    """The sum of the signed tetrahedra between the triangles and one point."""


def mesh_of(voxels: NDArray[np.bool_], affine: NDArray[np.float64]) -> Mesh:
    """Return the surface half-way between the voxel centres inside and outside of a mask, bool (slice, row, column).

    IBSI reference manual v1.1, section 3.1: marching cubes at 0.5 on the mask with an empty voxel around it; in
    Lewiner's variant (J. Graphics Tools 8, 2003), which closes the ambiguous cubes. The mesh is made on the grid, where
    its points are exact, and then placed: direction, flips and shear of the stack change nothing but the places.
    """
    padded = np.pad(voxels, 1).astype(np.float32)
    on_grid, triangles, _, _ = marching_cubes(padded, level=0.5)  # type: ignore[no-untyped-call]
    points = (on_grid.astype(np.float64) - 1.0) @ affine[:3, :3].T
    first, second, third = (points[corner] for corner in triangles.T)
    normals = np.cross(second - first, third - first)  # as long as twice the triangle's area
    return Mesh(
        points_mm=points,
        triangles=np.asarray(triangles, dtype=np.intp),
        surface_mm2=float(np.linalg.norm(normals, axis=1).sum()) / 2.0,
        volume_mm3=abs(float(np.einsum("ij,ij->", first, normals))) / 6.0,
    )
