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
    labels, count = ndimage.label(mask.voxels, CONNECTIVITY)
    if count == 0:
        return ()
    boxes = ndimage.find_objects(labels)
    sizes = np.bincount(labels.ravel())[1:]
    smallest = card.smallest_lesion_ml / mask.voxel_ml
    found = sorted(
        (component for component in range(count) if sizes[component] >= smallest),
        key=lambda component: (-sizes[component], component),
    )
    return tuple(
        _lesion(number, labels[boxes[component]] == component + 1, boxes[component], mask, job_key)
        for number, component in enumerate(found, start=1)
    )


def _lesion(number: int, voxels: NDArray[np.bool_], box: tuple[slice, ...], mask: Mask, job_key: str) -> Lesion:
    corner = (box[0].start, box[1].start, box[2].start)
    centre = np.argwhere(voxels).mean(axis=0) + corner
    x, y, z = mask.affine[:3, :3] @ centre + mask.affine[:3, 3]
    return Lesion(
        number=number,
        tracking_id=f"lesion-{number}",
        tracking_uid=derived_uid(job_key, "lesion", str(number)),
        voxels=voxels,
        corner=corner,
        centroid_mm=(float(x), float(y), float(z)),
    )
