"""Connected components of a tumour mask as lesions with tracking identifiers."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from models.segmenter import ModelCard
from models.volume import Mask
from worker.uids import derived_uid

CONNECTIVITY = np.ones((3, 3, 3), bool)
"""26-connectivity: voxels that share a face, an edge or a corner are connected."""
_NAME = re.compile(r"lesion-([1-9]\d{0,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesion:
    """One 3D connected component of the tumour mask.

    voxels: bool (slice, row, column), the mask cropped to the lesion's bounding box.
    corner: index (slice, row, column) of the box's first voxel in the volume.
    centroid_mm: (x, y, z), LPS.
    """

    number: int
    """For life: of a patient's lesions no two have the same, on whatever scan. On a first scan, 1 is the largest."""
    tracking_id: str
    """`lesion-` and the number."""
    tracking_uid: str
    voxels: NDArray[np.bool_]
    corner: tuple[int, int, int]
    centroid_mm: tuple[float, float, float]


def find_lesions(mask: Mask, card: ModelCard, job_key: str) -> tuple[Lesion, ...]:
    """Return the connected components of at least `card.smallest_lesion_ml`, largest first.

    Lesions of equal size are ordered by position, so that a repeated job assigns the same numbers and UIDs.
    """
    bounds = _bounding_box(mask.voxels)
    if bounds is None:
        return ()
    inside = mask.voxels[bounds]
    labels, _ = ndimage.label(inside, CONNECTIVITY)  # numbered in the order of their first voxels
    sizes = np.bincount(labels[inside])[1:]
    boxes = ndimage.find_objects(labels)
    smallest = card.smallest_lesion_ml / mask.voxel_ml
    large = np.flatnonzero(sizes >= smallest - 1e-6)  # tolerance: a lesion of exactly this volume is kept
    found = large[np.argsort(-sizes[large], kind="stable")]
    corner = np.array([side.start for side in bounds])
    return tuple(
        _lesion(number, labels[boxes[i]] == i + 1, corner + [side.start for side in boxes[i]], mask, job_key)
        for number, i in enumerate(found, start=1)
    )


def name_of(number: int) -> str:
    """Return the tracking identifier of the lesion with this number."""
    return f"lesion-{number}"


def number_in(name: str) -> int | None:
    """Return the number in a tracking identifier; None if it is not one of ours."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else None


def _bounding_box(voxels: NDArray[np.bool_]) -> tuple[slice, ...] | None:
    """Return the bounding box of the mask, None if it is empty; labelling only this box saves time."""
    box: list[slice] = []
    for axis in range(voxels.ndim):
        others = tuple(other for other in range(voxels.ndim) if other != axis)
        occupied = np.flatnonzero(voxels[tuple(box)].any(axis=others))
        if not occupied.size:
            return None
        box.append(slice(int(occupied[0]), int(occupied[-1]) + 1))
    return tuple(box)


def _lesion(number: int, voxels: NDArray[np.bool_], corner: NDArray[np.intp], mask: Mask, job_key: str) -> Lesion:
    centre = np.argwhere(voxels).mean(axis=0) + corner
    x, y, z = mask.affine[:3, :3] @ centre + mask.affine[:3, 3]
    first, row, column = (int(index) for index in corner)
    return Lesion(
        number=number,
        tracking_id=name_of(number),
        tracking_uid=derived_uid(job_key, "lesion", str(number)),
        voxels=voxels,
        corner=(first, row, column),
        centroid_mm=(float(x), float(y), float(z)),
    )
