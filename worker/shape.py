"""The shape of a lesion: surface, diameters, sphericity. Names and formulas of IBSI; knows no Hounsfield units."""

from __future__ import annotations

from dataclasses import dataclass


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
