"""Registration of a prior scan's lungs to a later scan's lungs.

It uses masks only, so that a prior scan can be compared without its CT. The steps rigid, affine and deformable start
from each other's result; the quality is measured, and the best mapping that is good enough is returned.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from models.volume import Mask
from worker.registration.distance_map import distance_map
from worker.registration.lung_box import LungBox, is_cut, lung_box
from worker.registration.quality import Mapping, Points, Quality, quality_of
from worker.registration.transforms import Affine, affine, deformable, rigid

__all__ = ["Mapping", "Method", "Points", "Quality", "Registration", "register"]

SMALLEST_LUNGS_ML = 150.0
"""A smaller mask does not count as lungs."""
DEFORMABLE_MM, DEFORMABLE_95_MM = 4.0, 12.0
"""Accepted surface distance of a deformable mapping: mean and 95th percentile."""
RIGID_MM, RIGID_95_MM = 9.0, 25.0
"""The same for a rigid mapping: breathing alone moves the diaphragm by 10 to 30 mm."""
JACOBIANS = (0.1, 6.0)
"""Accepted range. From full expiration to full inspiration, lung volume grows three to four times, locally more."""
BOX_RATIOS = ((0.75, 1.33), (0.7, 1.43), (0.5, 2.0))
"""Accepted ratios of the lungs' boxes along x, y and z: breathing changes mostly the length, hardly the width."""


class Method(StrEnum):
    """Method of a registration, best first."""

    DEFORMABLE = "deformable"
    RIGID = "rigid"
    LUNG_BOX = "lung box"
    """Fallback: scales the bounding box of the lungs."""
    NONE = "none"
    """LesionIdentity mapping, e.g. because the lungs of one scan are unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Mapping from a prior scan to a later scan."""

    method: Method
    to_later: Mapping
    quality: Quality | None
    """None for Method.NONE."""
    reason: str | None = None
    """Why no better method was used; None for a deformable registration."""


def register(prior: Mask | None, later: Mask | None) -> Registration:
    """Return the best acceptable mapping from the prior lungs to the later lungs, and why no better one was used.

    Each mask contains both lungs. Scans may have any orientation; patients may be shifted and rotated by some degrees.
    """
    if prior is None or not _contains_lungs(prior):
        return _none("the lungs of the prior scan are not known")
    if later is None or not _contains_lungs(later):
        return _none("the lungs of the later scan are not known")
    for name, mask in (("prior", prior), ("later", later)):
        if is_cut(mask):
            return _register_part(prior, later, f"the {name} scan shows a part of the lungs")
    if not _are_similar(lung_box(prior), lung_box(later)):
        return _register_part(prior, later, "the lungs of the two scans differ too much in their extent")
    return _register_whole(prior, later)


def _register_whole(prior: Mask, later: Mask) -> Registration:
    prior_map, later_map = distance_map(prior), distance_map(later)
    boxes = lung_box(prior), lung_box(later)
    rigid_mapping = rigid(prior_map, later_map, [boxes[0].initial_shifts_mm(boxes[1])[0]])
    deformed = deformable(prior_map, later_map, affine(prior_map, later_map, rigid_mapping))
    quality = quality_of(deformed, prior, later)
    defect = _defect(quality, DEFORMABLE_MM, DEFORMABLE_95_MM)
    if defect is None:
        return Registration(method=Method.DEFORMABLE, to_later=deformed, quality=quality)
    reason = f"deformable: {defect}"
    quality = quality_of(rigid_mapping, prior, later)
    defect = _defect(quality, RIGID_MM, RIGID_95_MM)
    if defect is None:
        return Registration(method=Method.RIGID, to_later=rigid_mapping, quality=quality, reason=reason)
    scaled = Affine(matrix=boxes[0].to(boxes[1]))
    quality = quality_of(scaled, prior, later)
    return Registration(method=Method.LUNG_BOX, to_later=scaled, quality=quality, reason=f"{reason}; rigid: {defect}")


def _register_part(prior: Mask, later: Mask, reason: str) -> Registration:
    """Register the smaller lungs rigidly to the larger; the deformation at cut edges cannot be determined."""
    smaller, larger = sorted((prior, later), key=lambda mask: np.count_nonzero(mask.voxels) * mask.voxel_ml)
    maps = [distance_map(mask, is_cut=is_cut(mask)) for mask in (smaller, larger)]
    fitted = rigid(maps[0], maps[1], lung_box(smaller).initial_shifts_mm(lung_box(larger)), is_partial=True)
    rigid_mapping = fitted if smaller is prior else fitted.back()
    quality = quality_of(rigid_mapping, prior, later, is_partial=True)
    defect = _defect(quality, RIGID_MM, RIGID_95_MM)
    if defect is not None:
        return _none(f"{reason}; rigid: {defect}")
    return Registration(method=Method.RIGID, to_later=rigid_mapping, quality=quality, reason=reason)


def _contains_lungs(mask: Mask) -> bool:
    return bool(np.count_nonzero(mask.voxels) * mask.voxel_ml >= SMALLEST_LUNGS_ML)


def _are_similar(one: LungBox, other: LungBox) -> bool:
    ratios = other.size_mm / one.size_mm
    return all(low <= ratio <= high for ratio, (low, high) in zip(ratios.tolist(), BOX_RATIOS, strict=True))


def _defect(quality: Quality, mean_mm: float, percentile_95_mm: float) -> str | None:
    """Return in one line why a mapping is not acceptable; None if it is."""
    if not quality.smallest_jacobian >= JACOBIANS[0]:
        return f"it folds or squeezes (Jacobian {quality.smallest_jacobian:.2f})"
    if not quality.largest_jacobian <= JACOBIANS[1]:
        return f"it tears apart (Jacobian {quality.largest_jacobian:.2f})"
    if not (quality.surface_mm <= mean_mm and quality.surface_95_mm <= percentile_95_mm):
        return f"surfaces {quality.surface_mm:.1f} mm apart, {quality.surface_95_mm:.1f} mm at 95 %"
    return None


def _none(reason: str) -> Registration:
    return Registration(method=Method.NONE, to_later=Affine(matrix=np.eye(4)), quality=None, reason=reason)
