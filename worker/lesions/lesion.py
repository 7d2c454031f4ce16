"""Splits a tumour mask into lesions, each with its tracking identifier. Knows no Hounsfield units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.segmenter import ModelCard
from models.volume import Mask
from worker.uids import derived_uid

CONNECTIVITY = np.ones((3, 3, 3), bool)
"""Voxels that share a face, an edge or a corner belong together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """One 3D connected component of the tumour mask.

    voxels: bool, the lesion's bounding box cut out of the volume, axes (slice, row, column).
    corner: index of the box's first voxel in the volume.
    centroid_mm: LPS.
    """

    number: int
    """From 1, the largest first: the SEG's segment number."""
    tracking_id: str
    tracking_uid: str
    voxels: NDArray[np.bool_]
    corner: tuple[int, int, int]
    centroid_mm: tuple[float, float, float]


def find_lesions(mask: Mask, card: ModelCard, job_key: str) -> tuple[Lesion, ...]:
    """Return the connected components of at least the card's smallest volume, the largest first.

    Equal sizes are ordered by position, so that a repeated job repeats its numbers.
    """
    marked = _bounding_box(mask.voxels)
    if marked is None:
        return ()
    inside = mask.voxels[marked]
    labels, _ = ndimage.label(inside, CONNECTIVITY)  # numbered in the order of their first voxels
    sizes = np.bincount(labels[inside])[1:]
    boxes = ndimage.find_objects(labels)
    smallest = card.smallest_lesion_ml / mask.voxel_ml
    large = np.flatnonzero(sizes >= smallest - 1e-6)  # a lesion of just this volume is kept, whatever rounding does
    found = large[np.argsort(-sizes[large], kind="stable")]
    corner = np.array([side.start for side in marked])
    return tuple(
        _lesion(number, labels[boxes[i]] == i + 1, corner + [side.start for side in boxes[i]], mask, job_key)
        for number, i in enumerate(found, start=1)
    )


def _bounding_box(voxels: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """Return the box around all that is marked: most of a scan holds no lesion, and labelling takes time."""
    box: list[slice] = []
    for axis in range(voxels.ndim):
        others = tuple(other for other in range(voxels.ndim) if other != axis)
        places = np.flatnonzero(voxels[tuple(box)].any(axis=others))
        if not places.size:
            return None
        box.append(slice(int(places[0]), int(places[-1]) + 1))
    return tuple(box)


def _lesion(number: int, voxels: NDArray[np.bool_], corner: NDArray[np.intp], mask: Mask, job_key: str) -> Lesion:
    centre = np.argwhere(voxels).mean(axis=0) + corner
    x, y, z = mask.affine[:3, :3] @ centre + mask.affine[:3, 3]
    first, row, column = (int(index) for index in corner)
    return Lesion(
        number=number,
        tracking_id=f"lesion-{number}",
        tracking_uid=derived_uid(job_key, "lesion", str(number)),
        voxels=voxels,
        corner=(first, row, column),
        centroid_mm=(float(x), float(y), float(z)),
    )
