"""Marks the tumour segments of a DICOM SEG on the grid of its CT, by the position of each frame in space.

Each pixel of a frame has a position in the patient (PS3.3 C.7.6.16.2), which must be the centre of a voxel. So flipped
and cropped frames are read correctly, and frames on another grid are refused, not resampled.
"""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from training.readers.case import DataRefused
from training.readers.outline import Array, Bools, ContourCanvas, TumourNames

SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
"""Segmentation Storage and Label Map Segmentation Storage."""


def mark_segments(seg: Dataset, canvas: ContourCanvas, tumour: TumourNames) -> None:
    """Mark every segment that is a tumour by its label or its type. Raises DataRefused if there is none."""
    numbers = [int(item.SegmentNumber) for item in seg.SegmentSequence if tumour.matches(_names(item))]
    if not numbers:
        count = len(seg.SegmentSequence)
        raise DataRefused(f"none of its {count} segment(s) is a tumour by label or code (see --tumour)")
    frames = np.asarray(seg.pixel_array).reshape(-1, seg.Rows, seg.Columns)
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        marked = _marked(seg, frame, groups, numbers)
        if marked.any():
            canvas.mark_voxels(_positions(seg, groups, marked))


def _names(segment: Dataset) -> list[str]:
    """Return the label of a segment and the codes of its type, as SCHEME:VALUE."""
    types = segment.get("SegmentedPropertyTypeCodeSequence") or ()
    codes = [f"{item.get('CodingSchemeDesignator', '')}:{item.get('CodeValue', '')}" for item in types]
    return [str(segment.get("SegmentLabel", "")), *codes]


def _marked(seg: Dataset, frame: Bools, groups: Dataset, numbers: list[int]) -> Bools:
    """Return the pixels of a frame that belong to a wanted segment."""
    kind = seg.SegmentationType
    if kind == "LABELMAP":
        return np.isin(frame, numbers)
    number = _group(seg, groups, "SegmentIdentificationSequence").ReferencedSegmentNumber
    if number not in numbers:
        return np.zeros(frame.shape, bool)
    # PS3.3 C.8.20.2.3.2: a fraction of Maximum Fractional Value; a voxel is tumour from one half on.
    return 2 * frame.astype(int) >= seg.MaximumFractionalValue if kind == "FRACTIONAL" else frame > 0


def _positions(seg: Dataset, groups: Dataset, marked: Bools) -> Array:
    """Return the LPS positions of a frame's marked pixels, (n, 3)."""
    first = np.array(_group(seg, groups, "PlanePositionSequence").ImagePositionPatient, float)
    cosines = np.array(_group(seg, groups, "PlaneOrientationSequence").ImageOrientationPatient, float)
    between_rows, between_columns = map(float, _group(seg, groups, "PixelMeasuresSequence").PixelSpacing)
    rows, columns = np.nonzero(marked)
    along_row, along_column = columns[:, None] * cosines[:3], rows[:, None] * cosines[3:]
    return np.asarray(first + along_row * between_columns + along_column * between_rows)


def _group(seg: Dataset, groups: Dataset, keyword: str) -> Dataset:
    """Return a functional group of a frame: its own, or the shared one."""
    for holder in (groups, seg.SharedFunctionalGroupsSequence[0]):
        if keyword in holder:
            item: Dataset = holder[keyword][0]
            return item
    raise DataRefused(f"a frame has no {keyword}")
