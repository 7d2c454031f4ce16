"""Reads an earlier scan back from what is at hand of it: our SEG and SR, a reader's, the CT. Compares nothing.

`documents.py` says which documents count, `content.py` what they tell of each lesion.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.errors import SeriesRejected
from models.lungs.outline import outline_lungs
from models.segmenter import ModelCard
from models.volume import Mask, spacing_of
from worker.ct.acquisition import study_date
from worker.follow_up.comparison import Origin, ReportReference
from worker.lesions.uncertainty import Sizes
from worker.priors.content import PriorContent, ToldLesion, read_content
from worker.priors.ct import PriorCt, read_ct
from worker.priors.documents import (
    Documents,
    PriorUnreadable,
    choose_documents,
    ct_series_of,
    is_ours,
    read_documents,
    readable,
)
from worker.priors.lung_mask import read_lungs
from worker.recist.timepoints import State

__all__ = ["Prior", "PriorFiles", "PriorLesion", "PriorUnreadable", "read_labels", "read_prior"]


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
    """On a box of the earlier scan's grid; None unless PRESENT or DOUBTFUL, and outlined."""
    sizes: Sizes | None
    """None unless PRESENT or DOUBTFUL."""
    mass_g: float | None
    image_uid: str | None = None
    """SOP instance UID of the CT image through its middle; None where the CT is not at hand."""


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


def read_prior(files: PriorFiles, card: ModelCard) -> Prior:
    """Read an earlier scan back; what a reader corrected comes before what we found.

    Raises PriorUnreadable where a document is damaged, or nothing says what the scan shows.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom quotes values in its warnings, and values may name a patient
        found = read_documents(files.documents)
        ct = _ct(files)
        with readable("the documents of a scan"):
            series_uid = ct.series_uid if ct else _series_of(found)
            documents = choose_documents(found, series_uid)
        if not documents.all:
            raise PriorUnreadable(series_uid, f"none of {len(found)} documents tells its lesions", "one has to")
        try:
            return _prior(ct, series_uid, read_content(documents, ct, card), _lungs(files, ct))
        except SeriesRejected as rejected:  # headers alone were looked at before
            raise PriorUnreadable(series_uid, str(rejected), "its pixels have to be readable") from None


def _ct(files: PriorFiles) -> PriorCt | None:
    """A CT that cannot be placed, since half of it came, is as good as gone: the documents have their own geometry."""
    try:
        return read_ct(files.ct) if files.ct else None
    except SeriesRejected:
        return None


def _series_of(documents: Sequence[Dataset]) -> str:
    for document in sorted(documents, key=is_ours, reverse=True):
        for series_uid in ct_series_of(document):
            return series_uid
    raise PriorUnreadable("a scan without a CT", f"{len(documents)} documents refer to no CT", "one has to")


def _prior(ct: PriorCt | None, series_uid: str, content: PriorContent, lungs: Mask | None) -> Prior:
    document = content.documents.all[0]
    with readable(series_uid):
        study = ct.acquisition.date if ct else study_date(document)
        study_uid = ct.study_uid if ct else str(document.StudyInstanceUID)
        report = _report(content.documents)
    if study is None:
        raise PriorUnreadable(series_uid, "it has no study date", "a comparison needs one")
    return Prior(
        date=study,
        study_uid=study_uid,
        series_uid=series_uid,
        frame_of_reference_uid=ct.frame_of_reference_uid if ct else content.frame_of_reference_uid,
        slice_mm=spacing_of(ct.grid.affine)[0] if ct else content.slice_mm,
        lesions=tuple(_lesion(told, ct) for told in content.lesions),
        lungs=lungs,
        kernel=ct.acquisition.kernel if ct else None,
        has_contrast=ct.acquisition.has_contrast if ct else None,
        origin=content.origin,
        report=report,
    )


def _lesion(told: ToldLesion, ct: PriorCt | None) -> PriorLesion:
    record = told.record
    return PriorLesion(
        tracking_uid=record.tracking_uid,
        tracking_id=record.tracking_id,
        state=record.state,
        merged_into=record.merged_into,
        split_from=record.split_from,
        outline=told.outline,
        sizes=told.sizes,
        mass_g=told.mass_g,
        image_uid=ct.grid.image_through(told.outline) if ct and told.outline else None,
    )


def _lungs(files: PriorFiles, ct: PriorCt | None) -> Mask | None:
    """Read what our job wrote beside its documents; else outline them again."""
    if files.lungs is not None:
        with suppress(RuntimeError):
            return read_lungs(files.lungs)
    lungs = outline_lungs(ct.read_volume()) if ct else None
    return None if lungs is None else Mask(voxels=np.asarray(lungs.lobes > 0), affine=lungs.affine)


def _report(documents: Documents) -> ReportReference | None:
    """Return our report, else the reader's."""
    reports = (*((documents.our_sr,) if documents.our_sr is not None else ()), *documents.other_srs)
    if not reports:
        return None
    sr = reports[0]
    return ReportReference(
        study_uid=str(sr.StudyInstanceUID),
        series_uid=str(sr.SeriesInstanceUID),
        sop_class_uid=str(sr.SOPClassUID),
        sop_instance_uid=str(sr.SOPInstanceUID),
    )


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
