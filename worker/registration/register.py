"""Brings an earlier scan's lungs onto a later one's: where does a point of the earlier lie now. Knows no lesion.

Masks are enough, so that an earlier scan whose CT is gone can be compared. Steps, each from the one before: rigid,
affine, deformable; what they reach is measured, and the best that is good enough is returned.
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
"""Less than this is no lung."""
DEFORMABLE_MM, DEFORMABLE_95_MM = 4.0, 12.0
"""The surfaces may lie so far apart, in the mean and for 95 % of their points."""
RIGID_MM, RIGID_95_MM = 9.0, 25.0
"""Breathing alone moves the diaphragm by 10 to 30 mm."""
JACOBIANS = (0.1, 6.0)
"""From full expiration to full inspiration, lungs become three to four times as large; more in places."""
ALIKE = ((0.75, 1.33), (0.7, 1.43), (0.5, 2.0))
"""How the lungs' boxes may differ along x, y and z: breathing changes their length most, their width hardly."""


class Method(StrEnum):
    """How two scans were brought together, the best first."""

    DEFORMABLE = "deformable"
    RIGID = "rigid"
    LUNG_BOX = "lung box"
    """The boxes of the lungs alone: a fall-back that is said to be one."""
    NONE = "none"
    """The lungs of one scan are not known: coordinates are taken as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The way from an earlier scan to a later one."""

    method: Method
    to_later: Mapping
    quality: Quality | None
    """None where there was nothing to measure it by."""
    reason: str | None = None
    """Why it is no better than it is; None for a deformable one."""


def register(earlier: Mask | None, later: Mask | None) -> Registration:
    """Return the best mapping from the earlier lungs to the later that is good enough, and why no better one is.

    Each mask holds both lungs; scans may be stored in any orientation, patients shifted, and turned by some degrees.
    """
    if earlier is None or not _holds_lungs(earlier):
        return _none("the lungs of the earlier scan are not known")
    if later is None or not _holds_lungs(later):
        return _none("the lungs of the later scan are not known")
    for name, mask in (("earlier", earlier), ("later", later)):
        if is_cut(mask):
            return _of_parts(earlier, later, f"the {name} scan shows a part of the lungs")
    if not _is_alike(lung_box(earlier), lung_box(later)):
        return _of_parts(earlier, later, "the lungs of the two scans differ too much in their extent")
    return _of_wholes(earlier, later)


def _of_wholes(earlier: Mask, later: Mask) -> Registration:
    here, there = distance_map(earlier), distance_map(later)
    boxes = lung_box(earlier), lung_box(later)
    turned = rigid(here, there, [boxes[0].starts_mm(boxes[1])[0]])
    bent = deformable(here, there, affine(here, there, turned))
    quality = quality_of(bent, earlier, later)
    doubt = _doubt(quality, DEFORMABLE_MM, DEFORMABLE_95_MM)
    if doubt is None:
        return Registration(method=Method.DEFORMABLE, to_later=bent, quality=quality)
    reason = f"deformable: {doubt}"
    quality = quality_of(turned, earlier, later)
    doubt = _doubt(quality, RIGID_MM, RIGID_95_MM)
    if doubt is None:
        return Registration(method=Method.RIGID, to_later=turned, quality=quality, reason=reason)
    scaled = Affine(matrix=boxes[0].to(boxes[1]))
    quality = quality_of(scaled, earlier, later)
    return Registration(method=Method.LUNG_BOX, to_later=scaled, quality=quality, reason=f"{reason}; rigid: {doubt}")


def _of_parts(earlier: Mask, later: Mask, reason: str) -> Registration:
    """Lay the scan that shows less into the other, rigidly: how far its edges would stretch is not known."""
    less, more = sorted((earlier, later), key=lambda mask: np.count_nonzero(mask.voxels) * mask.voxel_ml)
    maps = [distance_map(mask, is_cut=is_cut(mask)) for mask in (less, more)]
    laid = rigid(maps[0], maps[1], lung_box(less).starts_mm(lung_box(more)), is_partial=True)
    turned = laid if less is earlier else laid.back()
    quality = quality_of(turned, earlier, later, is_partial=True)
    doubt = _doubt(quality, RIGID_MM, RIGID_95_MM)
    if doubt is not None:
        return _none(f"{reason}; rigid: {doubt}")
    return Registration(method=Method.RIGID, to_later=turned, quality=quality, reason=reason)


def _holds_lungs(mask: Mask) -> bool:
    return bool(np.count_nonzero(mask.voxels) * mask.voxel_ml >= SMALLEST_LUNGS_ML)


def _is_alike(one: LungBox, other: LungBox) -> bool:
    ratios = other.size_mm / one.size_mm
    return all(low <= ratio <= high for ratio, (low, high) in zip(ratios.tolist(), ALIKE, strict=True))


def _doubt(quality: Quality, mean_mm: float, most_mm: float) -> str | None:
    """Return in one line what is wrong with a mapping."""
    if not quality.smallest_jacobian >= JACOBIANS[0]:
        return f"it folds or squeezes (Jacobian {quality.smallest_jacobian:.2f})"
    if not quality.largest_jacobian <= JACOBIANS[1]:
        return f"it tears apart (Jacobian {quality.largest_jacobian:.2f})"
    if not (quality.surface_mm <= mean_mm and quality.surface_95_mm <= most_mm):
        return f"surfaces {quality.surface_mm:.1f} mm apart, {quality.surface_95_mm:.1f} mm at 95 %"
    return None


def _none(reason: str) -> Registration:
    return Registration(method=Method.NONE, to_later=Affine(matrix=np.eye(4)), quality=None, reason=reason)
