"""Reads the demo's result back from its PACS, as the findings that it was made of. Computes nothing of its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset

from models.segmenter import ModelCard
from models.volume import Mask
from worker.ct.reader import LoadedSeries
from worker.findings import Finding, Findings
from worker.pipeline import find
from worker.priors.read import read_labels


def read_findings(series: LoadedSeries, seg: Dataset | None, card: ModelCard, job_key: str) -> Findings:
    """Return the findings of a SEG of ours over its series, measured anew; without a SEG there is no lesion."""
    voxels = np.zeros(series.volume.hu.shape, bool)
    if seg is not None:
        voxels |= read_labels(seg, series.sop_instance_uids) > 0
    findings = find(series, Mask(voxels=voxels, affine=series.volume.affine), card, job_key)
    if seg is None:
        return findings
    return replace(findings, findings=tuple(_named(finding, seg) for finding in findings.findings))


def _named(finding: Finding, seg: Dataset) -> Finding:
    """A lesion that earlier scans know bears their name in the SEG."""
    segment = next(each for each in seg.SegmentSequence if each.SegmentNumber == finding.lesion.number)
    lesion = replace(finding.lesion, tracking_id=str(segment.TrackingID), tracking_uid=str(segment.TrackingUID))
    return replace(finding, lesion=lesion)
