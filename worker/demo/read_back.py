"""Reads the demo's SEG back from its PACS and returns the findings that it encodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset

from models.lungs.outline import find_lung_air, outline_lungs
from models.segmenter import ModelCard
from models.volume import Mask
from worker.ct.reader import LoadedSeries
from worker.findings import Finding, Findings
from worker.pipeline import find
from worker.priors.read import read_labels


def findings_in_seg(series: LoadedSeries, seg: Dataset | None, card: ModelCard, job_key: str) -> Findings:
    """Return the findings of a LungSpread SEG on its series, measured again; without a SEG there are no lesions."""
    voxels = np.zeros(series.volume.hu.shape, bool)
    if seg is not None:
        on_images = read_labels(seg, series.frames) > 0
        voxels |= on_images[[series.volume.image_at(index) for index in range(len(voxels))]]
    mask = Mask(voxels=voxels, affine=series.volume.affine)
    findings = find(series, mask, outline_lungs(find_lung_air(series.volume)), card, job_key)
    if seg is None:
        return findings
    return replace(findings, findings=tuple(_with_tracking_of(finding, seg) for finding in findings.findings))


def _with_tracking_of(finding: Finding, seg: Dataset) -> Finding:
    """Take over the lesion's tracking ID and UID from the SEG: a lesion of a prior keeps its own."""
    segment = next(each for each in seg.SegmentSequence if each.SegmentNumber == finding.lesion.number)
    lesion = replace(finding.lesion, tracking_id=str(segment.TrackingID), tracking_uid=str(segment.TrackingUID))
    return replace(finding, lesion=lesion)
