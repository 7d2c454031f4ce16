"""Where in the lungs a lesion lies: lobe, side, and how far from wall, mediastinum and carina. Outlines no lung.

All of it is read from the lungs' coarse grid, at the grid's voxel that is nearest to each of the lesion's voxels, so a
distance is good to about one voxel of that grid (2 mm). What lies outside of the grid is read at its edge.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.lungs.lungs import Lobe, Lungs
from models.volume import spacing_of, voxel_volume_ml
from worker.lesions.lesion import Lesion

Points = NDArray[np.float64]
Indices = NDArray[np.intp]

LOBE_ERROR_MM = 10.0
"""How far a fissure may lie from where the lungs' lobes have it."""
ROUNDING_MM = 0.01
MOST_VOXELS = 100_000
"""Of a larger lesion every second or nth voxel is looked at: so many that a distance changes by less than a voxel."""
NEAR_MM = 20.0
"""A lobe is searched first as near as this, then twice as far, and so on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionLocation:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """The lobe of a lesion, and where its fissure distance is read."""

    lobe: Lobe
    at: Indices
    """Index of the voxel of the lobe that is nearest to the lesion's centre."""
    beyond_mm: float
    """How far outside of every lobe the lesion's centre lies; 0 where a part of the lesion lies in one."""


def place(lesion: Lesion, affine: Points, lungs: Lungs) -> LesionLocation:
    """Return where a lesion lies; `affine` is that of the scan on whose grid its voxels are.

    Raises ValueError where the lungs have no lobe at all.
    """
    points = _points(lesion, affine)
    indices = _indices(points, lungs)
    site = _site(indices, np.array(lesion.centroid_mm), lungs)
    fissure_mm = max(0.0, float(lungs.fissure_mm[tuple(site.at)]) - site.beyond_mm)
    wall_mm, mediastinum_mm = (
        float(distances[tuple(indices.T)].min()) for distances in (lungs.wall_mm, lungs.mediastinum_mm)
    )
    contact_mm = contact_limit_mm(affine, lungs)
    return LesionLocation(
        lobe=site.lobe,
        fissure_mm=round(fissure_mm, 1),
        is_lobe_sure=fissure_mm >= sure_from_mm(lesion, affine),
        wall_mm=0.0 if wall_mm <= contact_mm else round(wall_mm, 1),
        mediastinum_mm=0.0 if mediastinum_mm <= contact_mm else round(mediastinum_mm, 1),
        touches_wall=wall_mm <= contact_mm,
        touches_mediastinum=mediastinum_mm <= contact_mm,
        carina_mm=_carina_mm(points, lungs),
    )


def contact_limit_mm(affine: Points, lungs: Lungs) -> float:
    """Return the distance up to which a lesion touches: one coarse pixel and half a slice of the scan.

    A voxel of the lung beside the wall is one coarse pixel away from it, since distances run from centre to centre; and
    half a slice is what partial volume hides. On 1 mm slices 2.5 mm, on 5 mm slices 4.5 mm. Not less than the coarse
    grid's own slices are apart: a lesion on the diaphragm is as far from it.
    """
    slice_mm, row_mm, column_mm = spacing_of(lungs.affine)
    in_plane_mm = (row_mm + column_mm) / 2 + spacing_of(affine)[0] / 2
    return max(in_plane_mm, slice_mm) + ROUNDING_MM


def sure_from_mm(lesion: Lesion, affine: Points) -> float:
    """Return the distance of centre and fissure from which on a lesion's lobe is sure: 10 mm and a third of its radius.

    With the true fissure 10 mm nearer than the lobes have it, its plane then still runs a third of the radius r from
    the centre. It cuts a cap of height h = 2/3 r off the sphere of the lesion's volume, of pi h^2 (3r - h) / 3: that is
    7/27 of it, so three quarters of the lesion stay in the lobe.
    """
    volume_mm3 = np.count_nonzero(lesion.voxels) * voxel_volume_ml(affine) * 1000
    return LOBE_ERROR_MM + math.cbrt(3 * volume_mm3 / (4 * math.pi)) / 3


def _points(lesion: Lesion, affine: Points) -> Points:
    """Return the centres of the lesion's voxels, of very many an even choice, (n, 3), LPS mm."""
    marked = np.flatnonzero(lesion.voxels)
    chosen = np.unravel_index(marked[:: 1 + len(marked) // MOST_VOXELS], lesion.voxels.shape)
    centres: Points = (np.stack(chosen, axis=1) + lesion.corner) @ affine[:3, :3].T + affine[:3, 3]
    return centres


def _indices(points: Points, lungs: Lungs) -> Indices:
    """Return the lungs' voxels that are nearest to these points, (n, 3)."""
    inverse = np.linalg.inv(lungs.affine)
    nearest = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.intp)
    inside: Indices = np.clip(nearest, 0, np.array(lungs.lobes.shape) - 1)
    return inside


def _site(indices: Indices, centre: Points, lungs: Lungs) -> _Site:
    """Return the lobe of most voxels, among equals the first; that nearest to the centre where no voxel lies in one."""
    lobes = lungs.lobes[tuple(indices.T)]
    counts = np.bincount(lobes, minlength=len(Lobe) + 1)[1:]
    if not counts.any():
        return _nearest_site(centre, lungs)
    lobe = Lobe(int(counts.argmax()) + 1)
    inside = indices[lobes == lobe]
    return _Site(lobe=lobe, at=inside[_distances_mm(inside, centre, lungs).argmin()], beyond_mm=0.0)


def _nearest_site(centre: Points, lungs: Lungs) -> _Site:
    for reach_mm in _reaches(lungs):
        low, high = _box(centre, reach_mm, lungs)
        box = tuple(slice(start, stop) for start, stop in zip(low, high, strict=True))
        inside = np.argwhere(lungs.lobes[box]) + low
        if not inside.size:
            continue
        distances = _distances_mm(inside, centre, lungs)
        if distances.min() <= reach_mm:  # farther away, one beside the box may be nearer
            at = inside[distances.argmin()]
            return _Site(lobe=Lobe(int(lungs.lobes[tuple(at)])), at=at, beyond_mm=float(distances.min()))
    raise ValueError("the lungs have no lobe")


def _reaches(lungs: Lungs) -> Iterator[float]:
    whole_mm = math.hypot(*np.multiply(lungs.lobes.shape, spacing_of(lungs.affine)))
    reach_mm = NEAR_MM
    while reach_mm < whole_mm:
        yield reach_mm
        reach_mm *= 2
    yield math.inf


def _box(centre: Points, reach_mm: float, lungs: Lungs) -> tuple[Indices, Indices]:
    """Return first and last index (exclusive) of the grid's box around a point."""
    shape = np.array(lungs.lobes.shape)
    if math.isinf(reach_mm):
        return np.zeros(3, np.intp), shape
    (middle,) = _indices(centre[None], lungs)
    reach = np.ceil(reach_mm / np.array(spacing_of(lungs.affine))).astype(np.intp)
    return np.maximum(middle - reach, 0), np.minimum(middle + reach + 1, shape)


def _distances_mm(indices: Indices, point: Points, lungs: Lungs) -> Points:
    centres = indices @ lungs.affine[:3, :3].T + lungs.affine[:3, 3]
    distances: Points = np.linalg.norm(centres - point, axis=1)
    return distances


def _carina_mm(points: Points, lungs: Lungs) -> float | None:
    if lungs.carina_mm is None:
        return None
    return round(float(np.linalg.norm(points - np.array(lungs.carina_mm), axis=1).min()), 1)
