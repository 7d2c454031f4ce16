"""Which lesion of ours a reader's outline or measurement is: what a reader corrected keeps its identity. Reads nothing.

* A segment with the Tracking UID of a lesion of ours is that lesion, whatever its shape.
* Any other segment is taken apart into what does not touch; each part takes the Tracking UID of the lesion of ours that
  it overlaps most, where no part overlaps that lesion more. The others are new, and keep the segment's UID or get one.
* A measurement is of the lesion of its Tracking UID, else of the one in whose outline it was drawn.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.segmenter import ModelCard
from models.volume import Mask
from worker.lesions.lesion import find_lesions
from worker.lesions.uncertainty import Sizes
from worker.priors.seg import Outline, box_of, renamed, resampled
from worker.priors.sr import ReaderSizes
from worker.uids import derived_uid

OUR_NAME = re.compile(r"lesion-\d+")


def identified(
    theirs: Sequence[Outline], ours: Mapping[str, Outline], known: Mapping[str, str], seg_uid: str, card: ModelCard
) -> tuple[Outline, ...]:
    """Return a reader's outlines, each with a Tracking UID and a name.

    ours: our outlines by Tracking UID. known: the names of all lesions that our report knows, by Tracking UID, those
    that are gone among them. seg_uid: the reader's SEG, of which new UIDs are derived.
    """
    kept = [
        renamed(each, uid, known[uid]) for each in theirs if (uid := each.tracking_uid) is not None and uid in known
    ]
    claimed = {each.tracking_uid for each in kept}
    parts = [part for each in theirs if each.tracking_uid not in known for part in _parts(each, card)]
    free = {uid: outline for uid, outline in ours.items() if uid not in claimed}
    taken = _most_overlapped(parts, free)
    new: list[Outline] = []
    for index, part in enumerate(parts):
        if index in taken:
            kept.append(renamed(part, taken[index], known[taken[index]]))
        else:
            new.append(_new(part, index, seg_uid, {each.tracking_uid for each in (*kept, *new)}))
    return (*kept, *new)


def measured_by_reader(
    theirs: Sequence[ReaderSizes], outlines: Mapping[str, Mask], known: Collection[str]
) -> dict[str, ReaderSizes]:
    """Return what a reader measured, by our Tracking UID; of several measurements of a lesion the first counts."""
    found: dict[str, ReaderSizes] = {}
    for each in theirs:
        uid = each.tracking_uid if each.tracking_uid in known else _drawn_in(each, outlines)
        if uid is not None:
            found.setdefault(uid, each)
    return found


def with_reader_sizes(sizes: Sizes, theirs: ReaderSizes) -> Sizes:
    """Return the sizes with those in their place that a reader gave; a short axis is never longer than the long one."""
    long_axis_mm = theirs.long_axis_mm or sizes.long_axis_mm
    return replace(
        sizes,
        volume_ml=theirs.volume_ml or sizes.volume_ml,
        long_axis_mm=long_axis_mm,
        short_axis_mm=min(theirs.short_axis_mm or sizes.short_axis_mm, long_axis_mm),
    )


def _parts(outline: Outline, card: ModelCard) -> Iterator[Outline]:
    """Yield what does not touch; what is below the smallest lesion only where there is nothing else."""
    lesions = find_lesions(outline.mask, card, "") or find_lesions(
        outline.mask, replace(card, smallest_lesion_ml=0), ""
    )
    for lesion in lesions:
        voxels = np.zeros(outline.mask.voxels.shape, bool)
        box = tuple(slice(low, low + size) for low, size in zip(lesion.corner, lesion.voxels.shape, strict=True))
        voxels[box] = lesion.voxels
        yield replace(outline, mask=box_of(voxels, outline.mask.affine))


def _most_overlapped(parts: Sequence[Outline], ours: Mapping[str, Outline]) -> dict[int, str]:
    """Return which part is which lesion of ours, one to one, the largest overlap first."""
    overlaps = sorted(
        (-_overlap_ml(part.mask, outline.mask), index, uid)
        for index, part in enumerate(parts)
        for uid, outline in ours.items()
    )
    taken: dict[int, str] = {}
    for overlap, index, uid in overlaps:
        if overlap < 0 and index not in taken and uid not in taken.values():
            taken[index] = uid
    return taken


def _overlap_ml(mask: Mask, other: Mask) -> float:
    voxels, corner = resampled(other, mask.affine)
    low = np.maximum(corner, 0)
    high = np.minimum(np.add(corner, voxels.shape), mask.voxels.shape)
    if (high <= low).any():
        return 0.0
    theirs = voxels[tuple(slice(a - c, b - c) for a, b, c in zip(low, high, corner, strict=True))]
    ours = mask.voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return float(np.count_nonzero(theirs & ours)) * mask.voxel_ml


def _new(part: Outline, index: int, seg_uid: str, used: Collection[str | None]) -> Outline:
    """The largest part of a segment keeps the UID that its reader gave; names are free text, so only ours are kept."""
    own = part.tracking_uid
    uid = own if own is not None and own not in used else derived_uid(seg_uid, "reader's lesion", str(index + 1))
    name = part.tracking_id or ""
    return renamed(part, uid, name if OUR_NAME.fullmatch(name) else f"reader-{index + 1}")


def _drawn_in(theirs: ReaderSizes, outlines: Mapping[str, Mask]) -> str | None:
    for centre in theirs.centres_mm:
        for uid, mask in outlines.items():
            if _holds(mask, centre):
                return uid
    return None


def _holds(mask: Mask, point_mm: NDArray[np.float64]) -> bool:
    index = np.round((np.linalg.inv(mask.affine) @ (*point_mm, 1.0))[:3]).astype(int)
    inside = (index >= 0).all() and (index < mask.voxels.shape).all()
    return bool(inside and mask.voxels[tuple(index)])
