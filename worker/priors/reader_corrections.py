"""Assignment of a reader's outlines and measurements to our lesions: corrected lesions keep their identity.

* A segment with the Tracking UID of one of our lesions is that lesion, whatever its shape.
* Any other segment is split into connected components. Components and our lesions are paired by overlap, the largest
  first, and a paired component takes the Tracking UID of our lesion. Other components are new lesions, and keep the
  segment's UID or get a derived one.
* A measurement belongs to the lesion with its Tracking UID, else to the lesion in whose outline it was drawn.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from models.segmenter import ModelCard
from models.volume import Mask
from worker.lesions.lesion import find_lesions, number_in
from worker.lesions.uncertainty import Sizes
from worker.priors.seg import Outline, box_of, renamed, resampled
from worker.priors.sr import ReaderSizes
from worker.uids import derived_uid


def identified(
    outlines: Sequence[Outline], ours: Mapping[str, Outline], known: Mapping[str, str], seg_uid: str, card: ModelCard
) -> tuple[Outline, ...]:
    """Return a reader's outlines, each with a Tracking UID and a name.

    ours: our outlines by Tracking UID. known: names of all lesions in our report by Tracking UID, including absent
    ones. seg_uid: SOP Instance UID of the reader's SEG, from which new UIDs are derived.
    """
    kept = [
        renamed(each, uid, known[uid]) for each in outlines if (uid := each.tracking_uid) is not None and uid in known
    ]
    used = {each.tracking_uid for each in kept}
    parts = [part for each in outlines if each.tracking_uid not in known for part in _parts(each, card)]
    unassigned = {uid: outline for uid, outline in ours.items() if uid not in used}
    assigned = _most_overlapped(parts, unassigned)
    new: list[Outline] = []
    for index, part in enumerate(parts):
        if index in assigned:
            kept.append(renamed(part, assigned[index], known[assigned[index]]))
        else:
            new.append(_new(part, index, seg_uid, {each.tracking_uid for each in (*kept, *new)}))
    return (*kept, *new)


def measured_by_reader(
    measurements: Sequence[ReaderSizes], outlines: Mapping[str, Mask], known: Collection[str]
) -> dict[str, ReaderSizes]:
    """Return a reader's measurements by our Tracking UID; the first one of each lesion is used."""
    found: dict[str, ReaderSizes] = {}
    for each in measurements:
        uid = each.tracking_uid if each.tracking_uid in known else _drawn_in(each, outlines)
        if uid is not None:
            found.setdefault(uid, each)
    return found


def with_reader_sizes(sizes: Sizes, reader_sizes: ReaderSizes) -> Sizes:
    """Return the sizes, replaced by those that a reader gave; the short axis is limited to the long axis."""
    long_axis_mm = reader_sizes.long_axis_mm or sizes.long_axis_mm
    return replace(
        sizes,
        volume_ml=reader_sizes.volume_ml or sizes.volume_ml,
        long_axis_mm=long_axis_mm,
        short_axis_mm=min(reader_sizes.short_axis_mm or sizes.short_axis_mm, long_axis_mm),
    )


def _parts(outline: Outline, card: ModelCard) -> Iterator[Outline]:
    """Yield the connected components; those below the smallest lesion volume only if there are no others."""
    lesions = find_lesions(outline.mask, card, "") or find_lesions(
        outline.mask, replace(card, smallest_lesion_ml=0), ""
    )
    for lesion in lesions:
        voxels = np.zeros(outline.mask.voxels.shape, bool)
        box = tuple(slice(low, low + size) for low, size in zip(lesion.corner, lesion.voxels.shape, strict=True))
        voxels[box] = lesion.voxels
        yield replace(outline, mask=box_of(voxels, outline.mask.affine))


def _most_overlapped(parts: Sequence[Outline], ours: Mapping[str, Outline]) -> dict[int, str]:
    """Return the UID of our lesion for each overlapping part, by part index, one to one, largest overlap first."""
    overlaps = sorted(
        (-_overlap_ml(part.mask, outline.mask), index, uid)
        for index, part in enumerate(parts)
        for uid, outline in ours.items()
    )
    assigned: dict[int, str] = {}
    for overlap, index, uid in overlaps:
        if overlap < 0 and index not in assigned and uid not in assigned.values():
            assigned[index] = uid
    return assigned


def _overlap_ml(mask: Mask, other: Mask) -> float:
    voxels, corner = resampled(other, mask.affine)
    low = np.maximum(corner, 0)
    high = np.minimum(np.add(corner, voxels.shape), mask.voxels.shape)
    if (high <= low).any():
        return 0.0
    other_voxels = voxels[tuple(slice(a - c, b - c) for a, b, c in zip(low, high, corner, strict=True))]
    own_voxels = mask.voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return float(np.count_nonzero(other_voxels & own_voxels)) * mask.voxel_ml


def _new(part: Outline, index: int, seg_uid: str, used: Collection[str | None]) -> Outline:
    """Return a new lesion; it keeps the reader's UID if unused. Names are free text: only `lesion-N` is kept."""
    own = part.tracking_uid
    uid = own if own is not None and own not in used else derived_uid(seg_uid, "reader's lesion", str(index + 1))
    name = part.tracking_id or ""
    return renamed(part, uid, name if number_in(name) is not None else f"reader-{index + 1}")


def _drawn_in(measured: ReaderSizes, outlines: Mapping[str, Mask]) -> str | None:
    for centre in measured.centres_mm:
        for uid, mask in outlines.items():
            if _contains(mask, centre):
                return uid
    return None


def _contains(mask: Mask, point_mm: NDArray[np.float64]) -> bool:
    index = np.round((np.linalg.inv(mask.affine) @ (*point_mm, 1.0))[:3]).astype(int)
    inside = (index >= 0).all() and (index < mask.voxels.shape).all()
    return bool(inside and mask.voxels[tuple(index)])
