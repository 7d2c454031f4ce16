"""Shape features of a lesion as defined by IBSI: surface, diameters, axes, sphericity.

IBSI is the Image Biomarker Standardisation Initiative: Zwanenburg et al., Radiology 295 (2020) 328, and its reference
manual v1.1 (arXiv:1612.07003). Section 3.1 defines every feature here under the four-letter code given with it.

Surface and volume are those of the mesh, which cuts half a voxel off every corner: for a lesion of few voxels the mesh
volume is much smaller than that of its voxels (a sixth for one voxel). The volume to report is the voxel volume (YEKZ)
in Measurement. The wall of a cavity counts as surface; the cavity does not count as volume.

The mesh of a mask has steps, which finer voxels do not remove. For a sphere its surface is a tenth too large with cubic
voxels, a sixth with slices of 2.5 mm, a quarter with 5 mm (pixels of 0.7 mm): the sphericity is 0.91, 0.85 and 0.80.
Compare sphericities only between scans of similar slice thickness. The largest diameter ends half a voxel outside of
the voxel centres.

The axes are four standard deviations of the voxel centres: for a solid ellipsoid, 0.894 (4 / sqrt 20) of its true axes.
They are not diameters. A lesion on one slice has a least axis of 0, one in a single row also a minor axis of 0. A
single voxel has three axes of 0, and an elongation and a flatness of 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from worker.lesions.mesh import Mesh, mesh_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Morphological features with their IBSI codes (Zwanenburg et al., reference manual v1.1)."""

    mesh_volume_ml: float
    """RNU0."""
    surface_mm2: float
    """C0JK."""
    surface_to_volume_per_mm: float
    """2PR5."""
    sphericity: float
    """QCFX."""
    asphericity: float
    """25C7."""
    compactness_1: float
    """SKGS."""
    compactness_2: float
    """BQWJ."""
    spherical_disproportion: float
    """KRCK."""
    largest_diameter_mm: float
    """L0JK: maximum 3D diameter."""
    major_axis_mm: float
    """TDIC."""
    minor_axis_mm: float
    """P9VJ."""
    least_axis_mm: float
    """7J51."""
    elongation: float
    """Q3CK."""
    flatness: float
    """N17B."""
    convex_volume_share: float
    """R3ER, volume density (convex hull): 1 for a convex shape, smaller with lobes and spicules."""
    convex_surface_ratio: float
    """7T7F, area density (convex hull): 1 for a convex shape, larger with lobes and spicules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hull:
    """Measurements of the convex hull of a mesh."""

    volume_mm3: float
    surface_mm2: float
    diameter_mm: float


def shape_of(voxels: NDArray[np.bool_], affine: NDArray[np.float64]) -> Shape:
    """Return the shape features of a lesion of at least one voxel.

    voxels: bool (slice, row, column), the lesion in its box. affine: as in Volume; its translation has no effect.
    """
    mesh = mesh_of(voxels, affine)
    volume, surface = mesh.volume_mm3, mesh.surface_mm2
    hull = _hull(mesh)
    major, minor, least = _axes_mm(voxels, affine)
    # Both are 1 for a sphere: 36 pi V^2 = A^3.
    compactness = 36.0 * math.pi * volume**2 / surface**3
    sphericity = compactness ** (1.0 / 3.0)
    return Shape(
        mesh_volume_ml=round(volume / 1000.0, 6),
        surface_mm2=round(surface, 3),
        surface_to_volume_per_mm=round(surface / volume, 5),
        sphericity=round(sphericity, 5),
        asphericity=round(1.0 / sphericity - 1.0, 5),
        compactness_1=round(volume / math.sqrt(math.pi * surface**3), 5),
        compactness_2=round(compactness, 5),
        spherical_disproportion=round(1.0 / sphericity, 5),
        largest_diameter_mm=round(hull.diameter_mm, 3),
        major_axis_mm=round(major, 3),
        minor_axis_mm=round(minor, 3),
        least_axis_mm=round(least, 3),
        elongation=round(minor / major, 5) if major else 1.0,
        flatness=round(least / major, 5) if major else 1.0,
        convex_volume_share=round(volume / hull.volume_mm3, 5),
        convex_surface_ratio=round(surface / hull.surface_mm2, 5),
    )


def _hull(mesh: Mesh) -> _Hull:
    """Measure the convex hull of a mesh; its longest diameter ends in two vertices."""
    hull = ConvexHull(mesh.points_mm)
    return _Hull(
        volume_mm3=float(hull.volume),
        surface_mm2=float(hull.area),
        diameter_mm=float(pdist(mesh.points_mm[hull.vertices]).max()),
    )


def _axes_mm(voxels: NDArray[np.bool_], affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the major, minor and least axis: four times the square root of the covariance's eigenvalues.

    The sample covariance (n - 1) is used, as in the consensus values: with n, the minor and the least axis of the
    digital phantom of 74 voxels are out of tolerance.
    """
    indices = np.argwhere(voxels).astype(np.float64)
    if len(indices) == 1:
        return 0.0, 0.0, 0.0
    covariance = affine[:3, :3] @ np.cov(indices, rowvar=False) @ affine[:3, :3].T
    # Rounding may leave eigenvalues slightly below zero for a flat lesion.
    least, minor, major = 4.0 * np.sqrt(np.linalg.eigvalsh(covariance).clip(min=0.0))
    return float(major), float(minor), float(least)
