"""How well a mapping lays the earlier lungs on the later: distances of surfaces, and stretching. Moves nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from models.volume import Mask
from worker.lesions.mesh import mesh_of

Points = NDArray[np.float64]
"""(n, 3), LPS millimetres."""

STEP_MM = 2.0
"""Half of the step by which the Jacobian is taken: about the grid of the lungs."""
MOST_POINTS = 20_000
"""Of a surface or of the inside that are looked at; of more, every second or nth."""
BESIDE_MM = 10.0
"""A part of a lung is compared with what lies in its box and so far beside it."""


class Mapping(Protocol):
    """Maps points of the earlier scan to the later one."""

    def __call__(self, points_mm: Points) -> Points:
        """Return where the points lie in the later scan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How well the earlier lungs lie on the later ones."""

    surface_mm: float
    """Mean distance of the two surfaces, both ways."""
    surface_95_mm: float
    smallest_jacobian: float
    """Of the deformation; not above 0 where it folds."""
    largest_jacobian: float


def quality_of(to_later: Mapping, earlier: Mask, later: Mask, *, is_partial: bool = False) -> Quality:
    """Measure a mapping; where one scan shows a part of the lungs, only what both show of the surfaces is compared.

    A distance is that from a point of one surface to the nearest point of the other, both of meshes on the masks'
    grids: never too short, and too long by about 0.4 of the grid's spacing where the surfaces lie on each other.
    """
    moved, still = to_later(surface_of(earlier)), surface_of(later)
    ways = [_distances(moved, still, is_partial=is_partial), _distances(still, moved, is_partial=is_partial)]
    stretches = _jacobians(to_later, _thinned(_inside(earlier)))
    return Quality(
        surface_mm=float(np.mean([way.mean() for way in ways])),
        surface_95_mm=float(np.percentile(np.concatenate(ways), 95)),
        smallest_jacobian=float(stretches.min()),
        largest_jacobian=float(stretches.max()),
    )


def surface_of(mask: Mask) -> Points:
    """Return the points of the mask's mesh, LPS mm, without those where the scan cuts the lungs."""
    points = mesh_of(mask.voxels, mask.affine).points_mm
    index = np.linalg.solve(mask.affine[:3, :3], points.T).T
    is_within = ((index >= 0) & (index <= np.array(mask.voxels.shape) - 1)).all(1)
    return points[is_within] + mask.affine[:3, 3]


def _inside(mask: Mask) -> Points:
    located: Points = np.argwhere(mask.voxels) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    return located


def _thinned(points: Points) -> Points:
    return points[:: max(1, len(points) // MOST_POINTS)]


def _distances(points: Points, others: Points, *, is_partial: bool) -> NDArray[np.float64]:
    """Return how far each of some points is from the nearest of the others; infinite where they show nothing alike."""
    chosen = _thinned(points)
    chosen = chosen[_beside(chosen, others)] if is_partial else chosen
    return np.asarray(KDTree(others).query(chosen)[0] if len(chosen) else [np.inf], np.float64)


def _beside(points: Points, others: Points) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (points >= others.min(0) - BESIDE_MM).all(1) & (
        points <= others.max(0) + BESIDE_MM
    ).all(1)
    return inside


def _jacobians(to_later: Mapping, points: Points) -> Points:
    """Return the volume of what a small cube around each point becomes, 1 where it stays as large."""
    sides = [(to_later(points + step) - to_later(points - step)) / (2 * STEP_MM) for step in STEP_MM * np.eye(3)]
    return np.asarray(np.linalg.det(np.stack(sides, axis=-1)), np.float64)
