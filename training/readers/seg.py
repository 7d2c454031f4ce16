"""Marks the tumour segments of a DICOM SEG on the grid of its CT. Reads frames by their place in space alone.

What a frame refers to is not needed: each of its pixels has a place in the patient (PS3.3 C.7.6.16.2), and that must be
a voxel's centre. So flipped and cropped frames are right, and frames on another grid are refused, not resampled.
"""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from training.readers.case import DataRefused
from training.readers.outline import Array, Bools, Canvas, Tumour

SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage."""


def mark_segments(seg: Dataset, canvas: Canvas, tumour: Tumour) -> None:
    """Mark every segment that is a tumour by its label or its type. Raises DataRefused where there is none."""
    wanted = [int(item.SegmentNumber) for item in seg.SegmentSequence if tumour.is_meant(_names(item))]
    if not wanted:
        count = len(seg.SegmentSequence)
        raise DataRefused(f"none of its {count} segment(s) is a tumour by label or code (see --tumour)")
    frames = np.asarray(seg.pixel_array).reshape(-1, seg.Rows, seg.Columns)
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        marked = _marked(seg, frame, groups, wanted)
        if marked.any():
            canvas.mark_voxels(_places(seg, groups, marked))


def _names(segment: Dataset) -> list[str]:
    """Return the label of a segment and the codes of its type, as SCHEME:VALUE."""
    types = segment.get("SegmentedPropertyTypeCodeSequence") or ()
    codes = [f"{item.get('CodingSchemeDesignator', '')}:{item.get('CodeValue', '')}" for item in types]
    return [str(segment.get("SegmentLabel", "")), *codes]


def _marked(seg: Dataset, frame: Bools, groups: Dataset, wanted: list[int]) -> Bools:
    """Return the pixels of a frame that belong to a wanted segment."""
    kind = seg.SegmentationType
    if kind == "LABELMAP":
        return np.isin(frame, wanted)
    number = _group(seg, groups, "SegmentIdentificationSequence").ReferencedSegmentNumber
    if number not in wanted:
        return np.zeros(frame.shape, bool)
    # PS3.3 C.8.20.2.3.2: a fraction is out of Maximum Fractional Value; half of a voxel makes it tumour.
    return 2 * frame.astype(int) >= seg.MaximumFractionalValue if kind == "FRACTIONAL" else frame > 0


def _places(seg: Dataset, groups: Dataset, marked: Bools) -> Array:
    """Return the LPS places of a frame's marked pixels, (n, 3)."""
    first = np.array(_group(seg, groups, "PlanePositionSequence").ImagePositionPatient, float)
    cosines = np.array(_group(seg, groups, "PlaneOrientationSequence").ImageOrientationPatient, float)
    between_rows, between_columns = map(float, _group(seg, groups, "PixelMeasuresSequence").PixelSpacing)
    rows, columns = np.nonzero(marked)
    along_row, along_column = columns[:, None] * cosines[:3], rows[:, None] * cosines[3:]
    return np.asarray(first + along_row * between_columns + along_column * between_rows)


def _group(seg: Dataset, groups: Dataset, keyword: str) -> Dataset:
    """Return a functional group of a frame: its own, or the one that all frames share."""
    for holder in (groups, seg.SharedFunctionalGroupsSequence[0]):
        if keyword in holder:
            item: Dataset = holder[keyword][0]
            return item
    raise DataRefused(f"a frame has no {keyword}")
