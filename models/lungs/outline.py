"""Outlines both lungs and names their lobes on a chest CT, by thresholds and shapes, without trained weights.

The steps are those of `outline_lungs`; README.md states what each is based on and where it fails.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.lungs.air import Airways, air_in_body, find_airways, without_gas
from models.lungs.closing import closed_lung
from models.lungs.grid import UprightGrid, upright
from models.lungs.lobes import lobes_of
from models.lungs.lungs import Lungs
from models.lungs.sides import Sides, split_sides
from models.lungs.surroundings import distance_to, fissure_distance, mediastinum
from models.volume import Volume, voxel_volume_ml

Bools = NDArray[np.bool_]
Mm3 = tuple[float, float, float]

LARGEST_CUT = 0.5
"""If the scan ends inside the lungs with more than this share of their largest section, lobes cannot be named."""
MARGIN_MM = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LungAir:
    """The aerated lung of a scan, without airways and gas, on an upright grid (models/lungs/grid.py)."""

    voxels: Bools
    airways: Airways
    grid: UprightGrid

    @property
    def volume_ml(self) -> float:
        """Its volume in millilitres."""
        return float(np.count_nonzero(self.voxels)) * voxel_volume_ml(self.grid.affine)

    @property
    def largest_section_cm2(self) -> float:
        """The area of its largest axial section."""
        _, row_mm, column_mm = self.grid.spacing
        return float(self.voxels.sum((1, 2)).max(initial=0)) * row_mm * column_mm / 100

    @property
    def is_cut(self) -> bool:
        """Whether the scan ends within the lungs, so that part of them is missing."""
        return _is_cut(self.grid.sections(self.voxels))


def find_lung_air(volume: Volume) -> LungAir:
    """Return the aerated lung of a CT; without voxels if there is none, as in a scan of the head."""
    hu, grid = upright(volume)
    air = air_in_body(hu)
    airways = find_airways(hu, air, grid.spacing)
    return LungAir(voxels=without_gas(hu, air & ~airways.voxels), airways=airways, grid=grid)


def outline_lungs(air: LungAir) -> Lungs | None:
    """Return both lungs of a chest CT on a grid of about 2 mm; None if no pair of lungs is found.

    None means: too little air in the body; only one lung, or one below an eighth of the other (removed, collapsed, full
    of fluid); a slab that ends within the lungs, so that lobes cannot be named by position; or nothing between the
    lungs or around them.
    """
    airways, grid = air.airways, air.grid
    sides = split_sides(air.voxels, grid.spacing)
    if sides is None or _is_cut(grid.sections(sides.right | sides.left)):
        return None
    sides = _closed(sides, airways.voxels, grid.spacing)
    carina = None if airways.carina is None else grid.to_lps(airways.carina)
    lungs = lungs_from(sides, grid, carina)
    return lungs if np.isfinite(lungs.mediastinum_mm).all() and np.isfinite(lungs.wall_mm).all() else None


def lungs_from(sides: Sides, grid: UprightGrid, carina_mm: tuple[float, float, float] | None) -> Lungs:
    """Return the lungs of two upright masks, neither empty, with lobes and distances."""
    lobes = lobes_of(sides, grid.spacing)
    box = _box_around(lobes > 0, grid.spacing)
    between = mediastinum(sides, grid.spacing)
    wall = (lobes == 0) & ~between
    distances = (
        fissure_distance(lobes, sides, grid.spacing),
        distance_to(wall, box, grid.spacing),
        distance_to(between, box, grid.spacing),
    )
    fissure_mm, wall_mm, mediastinum_mm = (grid.in_scan_order(distance) for distance in distances)
    return Lungs(
        lobes=grid.in_scan_order(lobes),
        affine=grid.affine_in_scan_order(lobes.shape),
        fissure_mm=fissure_mm,
        wall_mm=wall_mm,
        mediastinum_mm=mediastinum_mm,
        carina_mm=carina_mm,
    )


def _is_cut(sections: NDArray[np.intp]) -> bool:
    return bool(max(sections[0], sections[-1]) > LARGEST_CUT * sections.max())


def _closed(sides: Sides, airways: Bools, spacing: Mm3) -> Sides:
    right = closed_lung(sides.right, sides.left | airways, spacing, is_right=True)
    return Sides(right=right, left=closed_lung(sides.left, right | airways, spacing, is_right=False))


def _box_around(lungs: Bools, spacing: Mm3) -> tuple[slice, ...]:
    (box,) = ndimage.find_objects(lungs.view(np.uint8), max_label=1)
    return tuple(
        slice(max(0, one.start - round(MARGIN_MM / size)), min(n, one.stop + round(MARGIN_MM / size)))
        for one, size, n in zip(box, spacing, lungs.shape, strict=True)
    )
