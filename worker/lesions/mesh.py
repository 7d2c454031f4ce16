"""Closed triangle mesh of a lesion's surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import marching_cubes


@dataclass(frozen=True, slots=True, kw_only=True)
class Mesh:
    """A closed surface.

    points_mm: float64 (points, 3), LPS axes, relative to the centre of the first voxel of the lesion's box.
    triangles: (triangles, 3), indices of points, consistently oriented.
    """

    points_mm: NDArray[np.float64]
    triangles: NDArray[np.intp]
    surface_mm2: float
    """Sum of the triangles' areas."""
    volume_mm3: float
    """Sum of the signed tetrahedra between the triangles and one point."""


def mesh_of(voxels: NDArray[np.bool_], affine: NDArray[np.float64]) -> Mesh:
    """Return the surface half-way between the voxel centres inside and outside of a mask, bool (slice, row, column).

    IBSI reference manual v1.1, section 3.1: marching cubes at 0.5 on the mask padded by one empty voxel, in Lewiner's
    variant (J. Graphics Tools 8, 2003), which closes the ambiguous cubes. The mesh is built in index space, where its
    points are exact, and then transformed by the affine: direction, flips and shear do not change its topology.
    """
    padded = np.pad(voxels, 1).astype(np.float32)
    on_grid, triangles, _, _ = marching_cubes(padded, level=0.5)  # type: ignore[no-untyped-call]
    points = (on_grid.astype(np.float64) - 1.0) @ affine[:3, :3].T
    first, second, third = (points[corner] for corner in triangles.T)
    normals = np.cross(second - first, third - first)  # length: twice the triangle's area
    return Mesh(
        points_mm=points,
        triangles=np.asarray(triangles, dtype=np.intp),
        surface_mm2=float(np.linalg.norm(normals, axis=1).sum()) / 2.0,
        volume_mm3=abs(float(np.einsum("ij,ij->", first, normals))) / 6.0,
    )
