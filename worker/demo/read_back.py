"""Reads the demo's result back from its PACS, as the findings that it was made of. Computes nothing of its own."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from models.segmenter import ModelCard
from models.volume import Mask
from worker.findings import Findings
from worker.load import LoadedSeries
from worker.pipeline import find
from worker.priors import read_labels


def read_findings(series: LoadedSeries, seg: Dataset | None, card: ModelCard, job_key: str) -> Findings:
    """Return the findings of a SEG of ours over its series, measured anew; without a SEG there is no lesion."""
    voxels = np.zeros(series.volume.hu.shape, bool)
    if seg is not None:
        voxels |= read_labels(seg, series.sop_instance_uids) > 0
    return find(series, Mask(voxels=voxels, affine=series.volume.affine), card, job_key)
