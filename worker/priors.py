"""Reads our own results back from the PACS. Computes nothing from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from models.segmenter import ModelCard
from models.volume import Mask
from worker.findings import Findings
from worker.load import LoadedSeries
from worker.pipeline import find


def read_findings(series: LoadedSeries, seg: Dataset | None, card: ModelCard, job_key: str) -> Findings:
    """Return the findings of a SEG of ours over its series, measured anew; without a SEG there is no lesion."""
    voxels = np.zeros(series.volume.hu.shape, bool)
    if seg is not None:
        voxels |= read_labels(seg, series.sop_instance_uids) > 0
    return find(series, Mask(voxels=voxels, affine=series.volume.affine), card, job_key)


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
