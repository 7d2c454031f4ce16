"""Outlines of a SEG, ours or a reader's, on the grid of its own frames; no CT is required.

Supports BINARY, FRACTIONAL (a voxel counts from half of the maximum value) and LABELMAP. Frames may be missing: each
frame is located by its Image Position (Patient).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.identifiers import is_ours
from models.volume import Mask
from worker.ct.frame_reference import frame_referred_to
from worker.ct.frame_size import check_frames
from worker.frame import Frame
from worker.priors.documents import PriorUnreadable
from worker.priors.grid import Array, Grid

PLACE_TOLERANCE = 0.1
"""Tolerance of a frame's position in an even stack, as a share of the spacing; as for CT in worker/ct/spacing.py."""
SAME_PLACE_MM = 1e-3
"""Frames closer than this are of one image."""
ANATOMICAL_STRUCTURES = (("123037004", "SCT"), ("T-D000A", "SRT"))
"""PS3.16 CID 7150: segments of organs are not lesions."""

OHIF_BRUSH = "OHIF Brush"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """One segment of a SEG."""

    number: int
    tracking_uid: str | None
    tracking_id: str | None
    mask: Mask
    """Cropped to the segment's bounding box."""


def read_outlines(
    seg: Dataset, grid: Grid | None = None, corrected: Collection[str] | None = None
) -> tuple[Outline, ...]:
    """Return the non-empty segments, without those of organs.

    grid: of the CT, if it is known: it has the images without a frame. corrected: for a SEG that is not ours, names of
    the algorithms whose outlines a reader may have corrected; automatic segments of any other algorithm are left out.
    Raises PriorUnreadable if the frames are not evenly spaced and the grid is not known.
    """
    frames, grid = _frames(seg), grid if grid is not None and grid.images is not None else grid_of(seg)
    indices = grid.image_numbers(_positions(seg))
    planes_by_number: dict[int, dict[int, NDArray[np.bool_]]] = {}
    for frame, index, groups in zip(frames, indices, _per_frame(seg), strict=True):
        for number, voxels in _marked(seg, frame, groups):
            planes = planes_by_number.setdefault(number, {})
            planes[index] = planes[index] | voxels if index in planes else voxels
    segments = {int(each.SegmentNumber): each for each in seg.SegmentSequence}
    return tuple(
        _outline(segments[number], planes, grid)
        for number, planes in sorted(planes_by_number.items())
        if not _is_anatomy(segments[number]) and (corrected is None or _is_by_reader(segments[number], corrected))
    )


def grid_of(seg: Dataset) -> Grid:
    """Return the grid of a SEG; slice 0 is the first frame along the normal. Raises PriorUnreadable if it is uneven.

    Our SEG of images at varying distances has no Spacing Between Slices; its grid has the finest of its frames.
    """
    positions, spacing_mm = _positions(seg), _spacing_mm(seg)
    places = _heights(seg) / spacing_mm
    if not _varies(seg):
        places = np.round(places)
    row_cosines, column_cosines = _cosines(seg)
    first, last = int(np.argmin(places)), int(np.argmax(places))
    span = places[last] - places[first]
    # In a sheared stack (tilted gantry) the step between slices is not parallel to the normal.
    step = (positions[last] - positions[first]) / span if span else _normal(seg) * spacing_mm
    between_rows, between_columns = (float(value) for value in _measures(seg).PixelSpacing)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = step, column_cosines * between_rows
    affine[:3, 2], affine[:3, 3] = row_cosines * between_columns, positions[first]
    at_frames = zip(places, _per_frame(seg), strict=True)
    slices = {image: float(place) for place, groups in at_frames for image in _sources(groups)}
    return Grid(affine=affine, slices=slices, images=np.unique(places) if _varies(seg) else None)


def box_of(voxels: NDArray[np.bool_], affine: Array) -> Mask:
    """Return a non-empty mask cropped to its bounding box."""
    indices = np.argwhere(voxels)
    low, high = indices.min(axis=0), indices.max(axis=0) + 1
    shifted = affine.copy()
    shifted[:3, 3] = affine[:3, :3] @ low + affine[:3, 3]
    box = tuple(slice(int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    return Mask(voxels=voxels[box], affine=shifted)


def _outline(segment: Dataset, planes: Mapping[int, NDArray[np.bool_]], grid: Grid) -> Outline:
    slices = range(grid.slice_of(min(planes)), grid.slice_of(max(planes)) + 1)
    empty = np.zeros_like(next(iter(planes.values())))
    voxels = np.stack([planes.get(grid.image_at(index), empty) for index in slices])
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, 0] * slices[0]
    return Outline(
        number=int(segment.SegmentNumber),
        tracking_uid=str(segment.TrackingUID) if segment.get("TrackingUID") else None,
        tracking_id=str(segment.TrackingID) if segment.get("TrackingID") else None,
        mask=box_of(voxels, affine),
    )


def _is_anatomy(segment: Dataset) -> bool:
    categories = segment.get("SegmentedPropertyCategoryCodeSequence", ())
    return any((each.CodeValue, each.CodingSchemeDesignator) in ANATOMICAL_STRUCTURES for each in categories)


def algorithms_of(seg: Dataset | None) -> set[str]:
    """Return the algorithm names of the segments."""
    segments = seg.SegmentSequence if seg is not None else ()
    return {str(segment.SegmentAlgorithmName) for segment in segments if segment.get("SegmentAlgorithmName")}


def _is_by_reader(segment: Dataset, corrected: Collection[str]) -> bool:
    """Return whether a reader may have made the segment.

    OHIF 3.13 keeps type and name of the algorithm whose outline a reader corrects; otherwise it writes its own.
    """
    name = segment.get("SegmentAlgorithmName")
    return segment.get("SegmentAlgorithmType") != "AUTOMATIC" or not name or name in (*corrected, OHIF_BRUSH)


def _frames(seg: Dataset) -> NDArray[np.uint16]:
    check_frames(seg)
    return np.asarray(seg.pixel_array, np.uint16).reshape(-1, seg.Rows, seg.Columns)


def _marked(seg: Dataset, frame: NDArray[np.uint16], groups: Dataset) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield number and voxels of each segment with voxels in the frame."""
    if seg.SegmentationType == "LABELMAP":
        yield from ((int(number), frame == number) for number in np.unique(frame) if number)
        return
    # PS3.3 C.8.20.3.1: the maximum value means probability 1 or full occupancy of the voxel.
    least = seg.MaximumFractionalValue / 2 if seg.SegmentationType == "FRACTIONAL" else 1
    voxels = frame >= least
    if voxels.any():
        identification = groups.get("SegmentIdentificationSequence") or _shared(seg).SegmentIdentificationSequence
        yield int(identification[0].ReferencedSegmentNumber), voxels


def _per_frame(seg: Dataset) -> Sequence[Dataset]:
    return list(seg.PerFrameFunctionalGroupsSequence)


def _shared(seg: Dataset) -> Dataset:
    shared: Sequence[Dataset] = seg.get("SharedFunctionalGroupsSequence") or ()
    return shared[0] if shared else Dataset()


def _sources(groups: Dataset) -> list[Frame]:
    return [
        frame_referred_to(source)
        for derivation in groups.get("DerivationImageSequence", ())
        for source in derivation.get("SourceImageSequence", ())
    ]


def _measures(seg: Dataset) -> Dataset:
    sequence: Sequence[Dataset] = _shared(seg).get("PixelMeasuresSequence") or _per_frame(seg)[0].PixelMeasuresSequence
    return sequence[0]


def _cosines(seg: Dataset) -> tuple[Array, Array]:
    sequence = _shared(seg).get("PlaneOrientationSequence") or _per_frame(seg)[0].PlaneOrientationSequence
    cosines = np.array(sequence[0].ImageOrientationPatient, np.float64)
    return cosines[:3], cosines[3:]


def _normal(seg: Dataset) -> Array:
    return np.asarray(np.cross(*_cosines(seg)), np.float64)


def _positions(seg: Dataset) -> Array:
    shared = _shared(seg).get("PlanePositionSequence")
    planes = [(groups.get("PlanePositionSequence") or shared)[0] for groups in _per_frame(seg)]
    return np.array([plane.ImagePositionPatient for plane in planes], np.float64)


def _heights(seg: Dataset) -> Array:
    heights = _positions(seg) @ _normal(seg)
    return np.asarray(heights - heights.min(), np.float64)


def _varies(seg: Dataset) -> bool:
    return is_ours(seg) and "SpacingBetweenSlices" not in _measures(seg)


def _spacing_mm(seg: Dataset) -> float:
    """Return the first candidate that divides every frame's position: frames may be missing, headers wrong."""
    heights, measures = _heights(seg), _measures(seg)
    gaps = np.diff(np.sort(heights))
    gaps = gaps[gaps > SAME_PLACE_MM]
    if _varies(seg):
        return float(gaps.min()) if gaps.size else float(measures.SliceThickness)
    stated = (measures.get("SpacingBetweenSlices"), measures.get("SliceThickness"))
    candidates = [float(each) for each in (*stated, gaps.min() if gaps.size else None) if each]
    for spacing_mm in candidates:
        places = heights / spacing_mm
        if np.abs(places - places.round()).max() <= PLACE_TOLERANCE:
            return spacing_mm
    raise PriorUnreadable(str(seg.SOPInstanceUID), "its frames are not evenly spaced", "tolerance 0.1 of the spacing")


def resampled(mask: Mask, affine: Array) -> tuple[NDArray[np.bool_], tuple[int, int, int]]:
    """Return a mask on another grid (nearest neighbour) as a box, and the index of the box's first voxel."""
    to_source = np.linalg.inv(mask.affine) @ affine
    corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], np.float64)
    corners[:, :3] = corners[:, :3] * mask.voxels.shape - 0.5
    extent = (corners @ np.linalg.inv(to_source).T)[:, :3]
    low, high = np.floor(extent.min(axis=0)).astype(int), np.ceil(extent.max(axis=0)).astype(int) + 1
    indices = np.indices(high - low).reshape(3, -1).T + low
    source = np.round(indices @ to_source[:3, :3].T + to_source[:3, 3]).astype(int)
    inside = ((source >= 0) & (source < mask.voxels.shape)).all(axis=1)
    voxels = np.zeros(len(indices), bool)
    voxels[inside] = mask.voxels[tuple(source[inside].T)]
    return voxels.reshape(tuple(high - low)), (int(low[0]), int(low[1]), int(low[2]))


def renamed(outline: Outline, tracking_uid: str, tracking_id: str) -> Outline:
    """Return the outline with another Tracking UID and name."""
    return replace(outline, tracking_uid=tracking_uid, tracking_id=tracking_id)
