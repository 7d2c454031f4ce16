"""Reads our own results back from the PACS. Computes nothing from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from models.volume import Mask
from worker.comparison import Origin, ReportReference
from worker.tracked import State
from worker.uncertainty import Sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorFiles:
    """What is at hand of one earlier scan."""

    ct: tuple[Path, ...]
    """The CT series; empty where it is gone."""
    documents: tuple[Path, ...]
    """SEG and SR, ours and readers', in any order."""
    lungs: Path | None = None
    """`lungs.nii.gz` of our job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorLesion:
    """What an earlier scan shows of a lesion; those that were gone by then are among them."""

    tracking_uid: str
    tracking_id: str
    state: State
    merged_into: str | None
    split_from: str | None
    outline: Mask | None
    """On a box of the earlier scan's grid; None unless PRESENT and outlined."""
    sizes: Sizes | None
    """None unless PRESENT."""
    mass_g: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """An earlier scan of the patient, read back."""

    date: date
    """Of the study."""
    study_uid: str
    series_uid: str
    """Of the CT."""
    frame_of_reference_uid: str
    slice_mm: float
    lesions: tuple[PriorLesion, ...]
    lungs: Mask | None
    """None where neither the CT nor its lungs are at hand."""
    kernel: str | None
    has_contrast: bool | None
    origin: Origin
    report: ReportReference | None


def read_labels(seg: Dataset, sop_instance_uids: Sequence[str]) -> NDArray[np.uint16]:
    """Return the segment number of each voxel of a BINARY SEG, 0 for none, axes (slice, row, column).

    sop_instance_uids: the source image of each slice. Raises KeyError when a frame refers to none of them.
    """
    slices = {uid: index for index, uid in enumerate(sop_instance_uids)}
    labels = np.zeros((len(slices), seg.Rows, seg.Columns), np.uint16)
    frames = np.atleast_3d(seg.pixel_array).reshape(-1, seg.Rows, seg.Columns)
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        source = groups.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        labels[slices[source]][frame > 0] = number
    return labels
