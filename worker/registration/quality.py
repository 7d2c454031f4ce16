"""Quality of a registration: distances between the lung surfaces, and the Jacobian of the mapping."""

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
"""Half width of the finite differences for the Jacobian: about the grid of the lungs."""
MAX_POINTS = 20_000
"""Maximum number of points evaluated per surface or mask; larger sets are subsampled evenly."""
BESIDE_MM = 10.0
"""Margin around the box of a partial scan within which surfaces are compared."""


class Mapping(Protocol):
    """Maps points of the prior scan to the later scan."""

    def __call__(self, points_mm: Points) -> Points:
        """Return the mapped points, (n, 3), LPS mm of the later scan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Surface distances and Jacobians of a registration."""

    surface_mm: float
    """Mean distance of the two surfaces, in both directions."""
    surface_95_mm: float
    """95th percentile of the distances, in both directions."""
    smallest_jacobian: float
    """Jacobian determinant; 0 or negative where the mapping folds."""
    largest_jacobian: float


def quality_of(to_later: Mapping, prior: Mask, later: Mask, *, is_partial: bool = False) -> Quality:
    """Return the quality of a mapping from the prior to the later lungs.

    is_partial: one scan shows only a part of the lungs; only the common part of the surfaces is compared.
    Distances run from points of one surface mesh to the nearest point of the other. They are never too short, and for
    identical surfaces too long by about 0.4 of the grid's spacing.
    """
    moved, fixed = to_later(surface_of(prior)), surface_of(later)
    distances = [_distances(moved, fixed, is_partial=is_partial), _distances(fixed, moved, is_partial=is_partial)]
    jacobians = _jacobians(to_later, _subsampled(_inside(prior)))
    return Quality(
        surface_mm=float(np.mean([each.mean() for each in distances])),
        surface_95_mm=float(np.percentile(np.concatenate(distances), 95)),
        smallest_jacobian=float(jacobians.min()),
        largest_jacobian=float(jacobians.max()),
    )


def surface_of(mask: Mask) -> Points:
    """Return the points of the mask's mesh, (n, 3), LPS mm, without those where the scan cuts the lungs."""
    points = mesh_of(mask.voxels, mask.affine).points_mm
    index = np.linalg.solve(mask.affine[:3, :3], points.T).T
    is_within = ((index >= 0) & (index <= np.array(mask.voxels.shape) - 1)).all(1)
    return points[is_within] + mask.affine[:3, 3]


def _inside(mask: Mask) -> Points:
    points: Points = np.argwhere(mask.voxels) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    return points


def _subsampled(points: Points) -> Points:
    return points[:: max(1, len(points) // MAX_POINTS)]


def _distances(points: Points, others: Points, *, is_partial: bool) -> NDArray[np.float64]:
    """Return each point's distance to the nearest of the others; [inf] if the two sets have no common region."""
    sample = _subsampled(points)
    sample = sample[_near_box_of(sample, others)] if is_partial else sample
    return np.asarray(KDTree(others).query(sample)[0] if len(sample) else [np.inf], np.float64)


def _near_box_of(points: Points, others: Points) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = (points >= others.min(0) - BESIDE_MM).all(1) & (
        points <= others.max(0) + BESIDE_MM
    ).all(1)
    return inside


def _jacobians(to_later: Mapping, points: Points) -> Points:
    """Return the Jacobian determinant at each point, 1 where the volume is preserved; (n,)."""
    differences = [(to_later(points + step) - to_later(points - step)) / (2 * STEP_MM) for step in STEP_MM * np.eye(3)]
    return np.asarray(np.linalg.det(np.stack(differences, axis=-1)), np.float64)
