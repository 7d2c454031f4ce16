"""Location of a lesion in the lungs: lobe, and distances to fissure, chest wall, mediastinum and carina.

All values are read from the coarse grid of the lungs, at the voxel nearest to each voxel of the lesion, so distances
are accurate to about one voxel of that grid (2 mm). Points outside the grid are read at its edge.
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
"""Assumed error of the fissures between the segmented lobes."""
ROUNDING_MM = 0.01
MAX_VOXELS = 100_000
"""Voxels evaluated per lesion. Larger lesions are subsampled evenly, which changes distances by less than a voxel."""
FIRST_REACH_MM = 20.0
"""Initial search radius for the nearest lobe; it is doubled until a lobe is found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionLocation:
    """Location of one lesion in the lungs."""

    lobe: Lobe
    """The lobe that contains most of its voxels."""
    fissure_mm: float
    """Distance from the lesion's centre to the nearest other lobe of the same lung."""
    is_lobe_sure: bool
    """False if the fissure is so close that the lesion may lie in the other lobe."""
    wall_mm: float
    """From the lesion's nearest voxel to the chest wall or diaphragm; 0 if they touch."""
    mediastinum_mm: float
    touches_wall: bool
    touches_mediastinum: bool
    carina_mm: float | None
    """From the lesion's nearest voxel; None if the carina was not found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Site:
    """The lobe of a lesion, and the voxel at which the distance to the fissure is read."""

    lobe: Lobe
    at: Indices
    """Index of the lobe's voxel nearest to the lesion's centre."""
    beyond_mm: float
    """Distance of the lesion's centre to the lobe; 0 if any voxel of the lesion lies in the lobe."""


def locate(lesion: Lesion, affine: Points, lungs: Lungs) -> LesionLocation:
    """Return the location of a lesion in the lungs.

    affine: of the scan that the lesion was found in, as in Volume. Raises ValueError if the lungs have no lobe.
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
    """Return the distance up to which a lesion touches the wall: one coarse pixel and half a slice of the scan.

    Distances run from centre to centre, so a lung voxel next to the wall is one coarse pixel from it; partial volume
    adds half a slice: 2.5 mm on 1 mm slices, 4.5 mm on 5 mm slices. The limit is at least the slice spacing of the
    coarse grid, which is the distance of a lesion on the diaphragm.
    """
    slice_mm, row_mm, column_mm = spacing_of(lungs.affine)
    in_plane_mm = (row_mm + column_mm) / 2 + spacing_of(affine)[0] / 2
    return max(in_plane_mm, slice_mm) + ROUNDING_MM


def sure_from_mm(lesion: Lesion, affine: Points) -> float:
    """Return the smallest distance of centre and fissure at which the lobe is sure: 10 mm plus a third of the radius.

    If the true fissure is 10 mm closer than segmented, its plane is still a third of the radius r from the centre. It
    then cuts a cap of height h = 2/3 r off the sphere of equal volume, of volume pi h^2 (3r - h) / 3, which is 7/27 of
    the sphere: three quarters of the lesion remain in the lobe.
    """
    volume_mm3 = np.count_nonzero(lesion.voxels) * voxel_volume_ml(affine) * 1000
    return LOBE_ERROR_MM + math.cbrt(3 * volume_mm3 / (4 * math.pi)) / 3


def _points(lesion: Lesion, affine: Points) -> Points:
    """Return the centres of the lesion's voxels, subsampled to about MAX_VOXELS, (n, 3), LPS mm."""
    voxels = np.flatnonzero(lesion.voxels)
    sampled = np.unravel_index(voxels[:: 1 + len(voxels) // MAX_VOXELS], lesion.voxels.shape)
    centres: Points = (np.stack(sampled, axis=1) + lesion.corner) @ affine[:3, :3].T + affine[:3, 3]
    return centres


def _indices(points: Points, lungs: Lungs) -> Indices:
    """Return the indices of the lungs' voxels nearest to the points, (n, 3)."""
    inverse = np.linalg.inv(lungs.affine)
    nearest = np.rint(points @ inverse[:3, :3].T + inverse[:3, 3]).astype(np.intp)
    inside: Indices = np.clip(nearest, 0, np.array(lungs.lobes.shape) - 1)
    return inside


def _site(indices: Indices, centre: Points, lungs: Lungs) -> _Site:
    """Return the lobe with most voxels (the first of equal counts), or the nearest lobe if no voxel lies in one."""
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
        if distances.min() <= reach_mm:  # at a larger distance, a voxel outside the box may be nearer
            at = inside[distances.argmin()]
            return _Site(lobe=Lobe(int(lungs.lobes[tuple(at)])), at=at, beyond_mm=float(distances.min()))
    raise ValueError("the lungs have no lobe")


def _reaches(lungs: Lungs) -> Iterator[float]:
    diagonal_mm = math.hypot(*np.multiply(lungs.lobes.shape, spacing_of(lungs.affine)))
    reach_mm = FIRST_REACH_MM
    while reach_mm < diagonal_mm:
        yield reach_mm
        reach_mm *= 2
    yield math.inf


def _box(centre: Points, reach_mm: float, lungs: Lungs) -> tuple[Indices, Indices]:
    """Return the first and last (exclusive) index of the box of half width `reach_mm` around a point."""
    shape = np.array(lungs.lobes.shape)
    if math.isinf(reach_mm):
        return np.zeros(3, np.intp), shape
    (centre_index,) = _indices(centre[None], lungs)
    reach = np.ceil(reach_mm / np.array(spacing_of(lungs.affine))).astype(np.intp)
    return np.maximum(centre_index - reach, 0), np.minimum(centre_index + reach + 1, shape)


def _distances_mm(indices: Indices, point: Points, lungs: Lungs) -> Points:
    centres = indices @ lungs.affine[:3, :3].T + lungs.affine[:3, 3]
    distances: Points = np.linalg.norm(centres - point, axis=1)
    return distances


def _carina_mm(points: Points, lungs: Lungs) -> float | None:
    if lungs.carina_mm is None:
        return None
    return round(float(np.linalg.norm(points - np.array(lungs.carina_mm), axis=1).min()), 1)
