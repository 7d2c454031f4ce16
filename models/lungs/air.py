"""Air inside the body, and its airways: trachea, carina, main bronchi.

Arrays are upright (models/lungs/grid.py): slices to the head, rows to the back, columns to the left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.lungs.field import LUNG_HU

Array = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int32]
Mm3 = tuple[float, float, float]

GAS_HU = -950.0
"""Lung contains vessels, so that even an emphysematous lung has a higher mean; gas measures about -1000."""

IN_PLANE = np.zeros((3, 3, 3), bool)
IN_PLANE[1] = ndimage.generate_binary_structure(2, 1)

LUMEN_HU = -700
"""Half way between air and the wall, for a trachea whose edge voxels contain both."""
TRACHEA_MM2 = (40.0, 700.0)
"""Normal tracheas are 10 to 27 mm wide (Breatnach et al., AJR 1984;142:903-906)."""
MIDLINE_MM = 45.0
SHORTEST_TRACHEA_MM = 25.0
AIRWAY_HU = (-700, -750, -800, -850, -900, -925, -950, -975)
BRONCHI_ML = 40.0
"""More than the volume of both main bronchi: a region that grows by more has leaked into the lung."""
BRONCHI_MM = (60.0, 60.0, 60.0)
"""Distances below, in front of or behind, and beside the carina up to which a bronchus counts as main."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Airways:
    """Trachea and main bronchi with their walls. carina: upright (slice, row, column), None if it was not found."""

    voxels: Bools
    carina: tuple[float, float, float] | None


def air_in_body(hu: Array) -> Bools:
    """Return the air that is not connected to the slice's edges within any slice."""
    air = hu < LUNG_HU
    labels, count = ndimage.label(air, IN_PLANE)
    outside = np.zeros(count + 1, bool)
    outside[0] = True
    outside[labels[:, [0, -1], :]] = True
    outside[labels[:, :, [0, -1]]] = True
    inside: Bools = ~outside[labels]
    return inside


def without_gas(hu: Array, air: Bools) -> Bools:
    """Return the air without stomach, bowel and oesophagus: components whose interior is pure gas are removed."""
    labels, count = ndimage.label(air)
    inner = ndimage.binary_erosion(air)
    sizes = np.bincount(labels[inner], minlength=count + 1)
    sums = np.bincount(labels[inner], hu[inner], count + 1)
    is_kept = sums > GAS_HU * sizes
    is_kept[0] = False
    kept: Bools = is_kept[labels]
    return kept


def find_airways(hu: Array, air: Bools, spacing: Mm3) -> Airways:
    """Follow the trachea down to the carina, and grow the main bronchi from there."""
    sections = _Sections.of(air & (hu < LUMEN_HU), spacing)
    chain = sections.trachea()
    trachea = np.isin(sections.labels, chain) if chain else np.zeros(hu.shape, bool)
    if not chain:
        return Airways(voxels=trachea, carina=None)
    carina = sections.carina(chain)
    if carina is not None:
        trachea |= _bronchi(hu, air, trachea, carina, spacing)
    walls = ndimage.binary_dilation(trachea, ndimage.generate_binary_structure(3, 1))
    return Airways(voxels=walls, carina=carina)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sections:
    """The components of air in each slice, numbered from the lowest slice up."""

    labels: Ints
    centres: NDArray[np.float64]  # (n + 1, 3), upright index
    areas_mm2: NDArray[np.float64]
    spacing: Mm3

    @classmethod
    def of(cls, air: Bools, spacing: Mm3) -> _Sections:
        labels, count = ndimage.label(air, IN_PLANE)
        where = np.nonzero(labels)
        numbers = labels[where]
        sizes = np.maximum(np.bincount(numbers, minlength=count + 1), 1)
        centres = [np.bincount(numbers, axis, count + 1) / sizes for axis in where]
        area = spacing[1] * spacing[2]
        return cls(
            labels=np.asarray(labels, np.int32), centres=np.stack(centres, 1), areas_mm2=sizes * area, spacing=spacing
        )

    def trachea(self) -> list[int]:
        """Return the longest chain of components of a trachea's size near the body's middle, from the head down."""
        columns = np.arange(self.labels.shape[2])
        weights = (self.labels > 0).sum((0, 1))
        middle = float((columns * weights).sum() / max(1, weights.sum()))
        fits = (self.areas_mm2 > TRACHEA_MM2[0]) & (self.areas_mm2 < TRACHEA_MM2[1])
        fits &= np.abs(self.centres[:, 2] - middle) * self.spacing[2] < MIDLINE_MM
        fits[0] = False
        best: list[int] = []
        seen: set[int] = set()
        for start in np.flatnonzero(fits)[::-1].tolist():
            if start in seen:
                continue
            chain = [start]
            while len(below := [one for one in self.below(chain[-1]) if fits[one]]) == 1:
                chain.append(below[0])
            seen.update(chain)
            if len(chain) > len(best):
                best = chain
        return best if len(best) * self.spacing[0] >= SHORTEST_TRACHEA_MM else []

    def below(self, number: int) -> list[int]:
        """Return the components of the next lower slice that are under this one."""
        height = round(self.centres[number, 0])
        if height == 0:
            return []
        under = self.labels[height - 1][self.labels[height] == number]
        return [int(one) for one in np.unique(under) if one]

    def carina(self, chain: list[int]) -> tuple[float, float, float] | None:
        """Return the bifurcation: half a slice above the two lower sections, half way between them; or None."""
        two = [one for one in self.below(chain[-1]) if self.areas_mm2[one] > TRACHEA_MM2[0] / 2]
        if len(two) < 2:
            return None
        two.sort(key=lambda one: -self.areas_mm2[one])
        height = round(self.centres[two[0], 0])
        one, other = (np.argwhere(self.labels[height] == number) for number in two[:2])
        apart = (((one[:, None] - other[None]) * self.spacing[1:]) ** 2).sum(-1)
        nearest = np.nonzero(apart <= apart.min() * 1.01)
        row, column = ((one[nearest[0]] + other[nearest[1]]) / 2).mean(0)
        return height + 0.5, float(row), float(column)


def _bronchi(hu: Array, air: Bools, trachea: Bools, carina: Mm3, spacing: Mm3) -> Bools:
    """Grow from the trachea at the highest threshold that does not leak into the lung."""
    box = tuple(
        slice(max(0, math.floor(middle - reach / size)), math.ceil(middle + reach / size) + 1)
        for middle, reach, size in zip(carina, BRONCHI_MM, spacing, strict=True)
    )
    most = np.count_nonzero(trachea[box]) + BRONCHI_ML * 1000 / math.prod(spacing)
    bronchi = np.zeros(hu.shape, bool)
    for threshold in AIRWAY_HU:
        labels, count = ndimage.label((air[box] & (hu[box] < threshold)) | trachea[box])
        joined = np.isin(labels, np.unique(labels[trachea[box]]))
        if count and np.count_nonzero(joined) < most:
            bronchi[box] = joined
            break
    return bronchi
