"""Reads the demo's SEG back from its PACS and returns the findings that it encodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from models.lungs.outline import find_lung_air, outline_lungs
from models.segmenter import ModelCard
from models.volume import Mask
from worker.ct.reader import LoadedSeries
from worker.findings import Finding, Findings
from worker.lesions.lesion import number_in
from worker.pipeline import find
from worker.priors.read import read_labels


def findings_in_seg(series: LoadedSeries, seg: Dataset | None, card: ModelCard, job_key: str) -> Findings:
    """Return the findings of a LungSpread SEG on its series, measured again; without a SEG there are no lesions."""
    labels = np.zeros(series.volume.hu.shape, np.uint16)
    if seg is not None:
        labels = read_labels(seg, series.frames)[[series.volume.image_at(index) for index in range(len(labels))]]
    mask = Mask(voxels=labels > 0, affine=series.volume.affine)
    findings = find(series, mask, outline_lungs(find_lung_air(series.volume)), card, job_key)
    if seg is None:
        return findings
    return replace(findings, findings=tuple(_with_tracking_of(finding, seg, labels) for finding in findings.findings))


def _with_tracking_of(finding: Finding, seg: Dataset, labels: NDArray[np.uint16]) -> Finding:
    """Take over the lesion's number and UID from its segment: a lesion of a prior keeps its own."""
    lesion = finding.lesion
    first = np.add(lesion.corner, np.argwhere(lesion.voxels)[0])
    segment = next(each for each in seg.SegmentSequence if each.SegmentNumber == labels[tuple(first)])
    name = str(segment.TrackingID)
    number = number_in(name) or lesion.number
    return replace(
        finding, lesion=replace(lesion, number=number, tracking_id=name, tracking_uid=str(segment.TrackingUID))
    )
