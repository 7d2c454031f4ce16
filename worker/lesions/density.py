"""Composition of a lesion: Hounsfield unit statistics, solid part, mass, calcium, cavities and margin roughness."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.volume import Volume
from worker.lesions.calcification import calcium_ml, cavity_ml
from worker.lesions.lesion import CONNECTIVITY, Lesion
from worker.lesions.margin import roughness_of
from worker.lesions.recist_diameters import recist_axes
from worker.lesions.solid_component import solid_part

SOLID_FROM = 0.75
"""Smallest solid share of the tissue at which a lesion is solid.

No paper gives a limit for volumes. Solid phantoms of 6 to 10 mm are above it. Of 70 LIDC-IDRI nodules, 16 are at 0,
seven from 0.2 to 0.6, one at 0.76 and 46 above 0.8; this agrees with visual reading except for one small nodule with a
loose outline.
"""


class Consistency(StrEnum):
    """Consistency of a nodule as in the Fleischner Society guideline of 2017 (MacMahon et al.)."""

    SOLID = "solid"
    PART_SOLID = "part-solid"
    GROUND_GLASS = "ground-glass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """First-order statistics of the Hounsfield units, defined and coded by IBSI (intensity-based statistics)."""

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
    """Composition of a lesion."""

    consistency: Consistency
    solid_fraction: float
    """Solid share of the tissue (without lung and gas), 0 to 1; 0 in pure ground glass."""
    solid_long_axis_mm: float
    """RECIST long axis of the largest solid part in the axial plane; 0 without a solid part."""
    mass_g: float
    """Volume x (mean HU + 1000) / 1000."""
    calcified_ml: float
    is_calcified: bool
    cavity_ml: float
    """Enclosed gas, inside or outside the mask."""
    is_cavitated: bool
    spiculation: float
    """1 - convex perimeter / perimeter on axial slices: see margin.py."""
    lobulation: float = 0.0
    """1 - area / convex area on axial slices: see margin.py."""


def intensity_of(hu: NDArray[np.float64]) -> Intensity:
    """Return the statistics of a lesion's Hounsfield units, one value per voxel (IBSI manual v1.1, 3.3).

    Skewness and kurtosis of equal values are 0, as IBSI defines. Percentiles are interpolated linearly.
    """
    mean, sd = float(hu.mean()), float(hu.std())
    standardised = (hu - mean) / sd if sd > 0 else np.zeros_like(hu)
    minimum, p10, median, p90, maximum = np.percentile(hu, (0, 10, 50, 90, 100))
    return Intensity(
        mean_hu=round(mean, 2),
        sd_hu=round(sd, 2),
        skewness=round(float((standardised**3).mean()), 4),
        kurtosis=round(float((standardised**4).mean()) - 3, 4) if sd > 0 else 0.0,
        minimum_hu=round(float(minimum), 2),
        p10_hu=round(float(p10), 2),
        median_hu=round(float(median), 2),
        p90_hu=round(float(p90), 2),
        maximum_hu=round(float(maximum), 2),
    )


def density_of(lesion: Lesion, volume: Volume) -> Density:
    """Return the composition of a lesion in its volume."""
    solid, tissue = solid_part(lesion, volume)
    solid_fraction = int(np.count_nonzero(solid)) / max(int(np.count_nonzero(tissue)), 1)
    calcified, cavity = calcium_ml(lesion, volume), cavity_ml(lesion, volume)
    roughness = roughness_of(lesion.voxels, volume.spacing[1:])
    return Density(
        consistency=_consistency(solid_fraction),
        solid_fraction=round(solid_fraction, 3),
        solid_long_axis_mm=_long_axis_mm(lesion, volume, solid),
        mass_g=_mass_g(lesion, volume),
        calcified_ml=round(calcified, 4),
        is_calcified=calcified > 0,
        cavity_ml=round(cavity, 4),
        is_cavitated=cavity > 0,
        spiculation=roughness.spiculation,
        lobulation=roughness.lobulation,
    )


def _consistency(solid_fraction: float) -> Consistency:
    if solid_fraction >= SOLID_FROM:
        return Consistency.SOLID
    return Consistency.PART_SOLID if solid_fraction > 0 else Consistency.GROUND_GLASS


def _long_axis_mm(lesion: Lesion, volume: Volume, solid: NDArray[np.bool_]) -> float:
    labels, count = ndimage.label(solid, CONNECTIVITY)
    if not count:
        return 0.0
    largest = labels == 1 + int(np.bincount(labels.ravel())[1:].argmax())
    return recist_axes(replace(lesion, voxels=largest), volume)[0].length_mm


def _mass_g(lesion: Lesion, volume: Volume) -> float:
    """Return the mass in g; 1 ml of water has 1 g (de Hoop et al., Radiology 2010; 255: 199-206)."""
    box = tuple(slice(low, low + size) for low, size in zip(lesion.corner, lesion.voxels.shape, strict=True))
    hu = volume.hu[box][lesion.voxels].astype(np.float64)
    return round(max(0.0, len(hu) * volume.voxel_ml * (float(hu.mean()) + 1000) / 1000), 4)
