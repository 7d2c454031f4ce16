"""The shape of a lesion: surface, diameters, sphericity. Names and formulas of IBSI; knows no Hounsfield units.

IBSI is the Image Biomarker Standardisation Initiative: Zwanenburg et al., Radiology 295 (2020) 328, and its reference
manual v1.1 (arXiv:1612.07003), whose section 3.1 defines every feature here under the four-letter code given with it.

Surface and volume are those of the mesh, which cuts half a voxel off every corner: of a lesion of few voxels the mesh
holds much less than its voxels do (of one voxel, a sixth). The volume to report is the voxels' own (YEKZ), which
Measurement has. A cavity's wall is surface, its inside no volume.

The mesh of a mask has steps, and finer voxels do not smooth them. Of a ball it has a tenth too much surface where
voxels are cubes, a sixth with slices of 2.5 mm, a quarter with 5 mm (pixels of 0.7 mm): a sphericity of 0.91, 0.85 and
0.80. Compare sphericities between scans of like slices only. The largest diameter ends half a voxel outside of centres.

The axes are four standard deviations of the voxels' centres: of a solid ellipsoid, 0.894 (4 / sqrt 20) of its true
axes. They are no diameters. Centres on one slice have a least axis of 0, those in one row also a minor axis of 0, and
a single voxel has three of 0 and, having no direction, an elongation and a flatness of 1.
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
    """R3ER, volume density (convex hull): 1 where nothing is indented, less with lobes and spicules."""
    convex_surface_ratio: float
    """7T7F, area density (convex hull): 1 where nothing is indented, more with lobes and spicules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Hull:
    """The convex hull of a mesh."""

    volume_mm3: float
    surface_mm2: float
    diameter_mm: float


def shape_of(voxels: NDArray[np.bool_], affine: NDArray[np.float64]) -> Shape:
    """Return the shape of a lesion of at least one voxel.

    voxels: bool (slice, row, column), the lesion in its box. affine: as in Volume; its translation has no effect.
    """
    mesh = mesh_of(voxels, affine)
    volume, surface = mesh.volume_mm3, mesh.surface_mm2
    hull = _hull(mesh)
    major, minor, least = _axes_mm(voxels, affine)
    # Of a sphere both are 1: 36 pi V^2 = A^3.
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
    """Measure the convex hull of a mesh, whose longest diameter ends in two of its corners."""
    hull = ConvexHull(mesh.points_mm)
    return _Hull(
        volume_mm3=float(hull.volume),
        surface_mm2=float(hull.area),
        diameter_mm=float(pdist(mesh.points_mm[hull.vertices]).max()),
    )


def _axes_mm(voxels: NDArray[np.bool_], affine: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return major, minor and least axis: four times the root of the covariance's eigenvalues.

    The covariance is that of a sample (n - 1), as in the consensus values: of the 74 voxels of the digital phantom, a
    covariance over n puts the minor and the least axis outside of their tolerance.
    """
    places = np.argwhere(voxels).astype(np.float64)
    if len(places) == 1:
        return 0.0, 0.0, 0.0
    covariance = affine[:3, :3] @ np.cov(places, rowvar=False) @ affine[:3, :3].T
    # Rounding may leave a hair below zero where the lesion is flat.
    least, minor, major = 4.0 * np.sqrt(np.linalg.eigvalsh(covariance).clip(min=0.0))
    return float(major), float(minor), float(least)
