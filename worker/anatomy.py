"""Where in the lungs a lesion lies: lobe, side, and how far from wall, mediastinum and carina. Outlines no lung."""

from __future__ import annotations

from dataclasses import dataclass

from models.lungs.lungs import Lobe


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where one lesion lies."""

    lobe: Lobe
    """That of most of its voxels."""
    fissure_mm: float
    """Distance from the lesion's centre to the nearest other lobe of the same lung."""
    is_lobe_sure: bool
    """False where the fissure runs so near that the lobe may be the other one."""
    wall_mm: float
    """From the lesion's nearest voxel to the chest wall or diaphragm; 0 when they touch."""
    mediastinum_mm: float
    touches_wall: bool
    touches_mediastinum: bool
    carina_mm: float | None
    """From the lesion's nearest voxel; None where the carina was not found."""
