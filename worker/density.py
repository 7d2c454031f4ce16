"""What a lesion is made of: its Hounsfield units, solid part, mass, calcium, air. Knows no outline."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Consistency(StrEnum):
    """Fleischner Society 2017 (MacMahon et al.)."""

    SOLID = "solid"
    PART_SOLID = "part-solid"
    GROUND_GLASS = "ground-glass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """First-order statistics of the Hounsfield units as IBSI defines them (intensity-based statistics)."""

    mean_hu: float
    """Q4LE."""
    sd_hu: float
    """Square root of the variance ECT3, which divides by the number of voxels."""
    skewness: float
    """KE2A."""
    kurtosis: float
    """IPH6, excess: 0 for a normal distribution."""
    minimum_hu: float
    """1GSF."""
    p10_hu: float
    """QG58."""
    median_hu: float
    """Y12H."""
    p90_hu: float
    """8DWT."""
    maximum_hu: float
    """84IY."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Density:
    """What a lesion is made of."""

    consistency: Consistency
    solid_fraction: float
    """Share of the volume, 0 to 1."""
    solid_long_axis_mm: float
    """RECIST long axis of the solid part on the axial plane; 0 when there is none."""
    mass_g: float
    calcified_ml: float
    is_calcified: bool
    cavity_ml: float
    is_cavitated: bool
    spiculation: float
    """Index of the outline's roughness; its definition stands where it is computed."""
