"""What a lesion is made of: its Hounsfield units, solid part, mass, calcium, air. Knows no lobe and no DICOM."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


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


def intensity_of(hu: NDArray[np.float64]) -> Intensity:
    """Return the statistics of a lesion's Hounsfield units, one a voxel, as IBSI defines them (manual v1.1, 3.3).

    Where all are equal, skewness and kurtosis are 0, as IBSI says. Percentiles between two voxels are interpolated.
    """
    mean, sd = float(hu.mean()), float(hu.std())
    standard = (hu - mean) / sd if sd > 0 else np.zeros_like(hu)
    minimum, p10, median, p90, maximum = np.percentile(hu, (0, 10, 50, 90, 100))
    return Intensity(
        mean_hu=round(mean, 2),
        sd_hu=round(sd, 2),
        skewness=round(float((standard**3).mean()), 4),
        kurtosis=round(float((standard**4).mean()) - 3, 4) if sd > 0 else 0.0,
        minimum_hu=round(float(minimum), 2),
        p10_hu=round(float(p10), 2),
        median_hu=round(float(median), 2),
        p90_hu=round(float(p90), 2),
        maximum_hu=round(float(maximum), 2),
    )
