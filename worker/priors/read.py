"""Reading of a prior scan from its available files: our SEG and SR, a reader's SEG and SR, and the CT.

`documents.py` selects the documents, `content.py` reads their lesions.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.errors import SeriesRejected
from dicom_node.identifiers import is_ours
from models.lungs.outline import find_lung_air, outline_lungs
from models.segmenter import ModelCard
from models.volume import Mask, spacing_of
from worker.ct.frame_reference import frame_referred_to
from worker.follow_up.comparison import ReportReference
from worker.follow_up.prior import Prior, PriorLesion
from worker.frame import Frame
from worker.priors.acquisition import study_date
from worker.priors.content import DocumentedLesion, PriorContent, read_content
from worker.priors.ct import PriorCt, read_ct
from worker.priors.documents import Documents, PriorUnreadable, choose_documents, ct_series_of, read_documents, readable
from worker.priors.files import PriorFiles
from worker.priors.lung_mask import read_lungs

__all__ = ["Prior", "PriorFiles", "PriorLesion", "PriorUnreadable", "read_labels", "read_prior"]


def read_prior(files: PriorFiles, card: ModelCard) -> Prior:
    """Return a prior scan; a reader's corrections take precedence over our results.

    Raises PriorUnreadable if a document is damaged, no document describes the lesions, or the study date is missing.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom quotes values in its warnings, and values may name a patient
        found = read_documents(files.documents)
        ct = _ct(files)
        with readable("the documents of a scan"):
            series_uid = ct.series_uid if ct else _series_of(found)
            documents = choose_documents(found, series_uid)
        if not documents.all:
            raise PriorUnreadable(series_uid, f"none of {len(found)} documents lists its lesions", "one is required")
        try:
            return _prior(ct, series_uid, read_content(documents, ct, card), _lungs(files, ct))
        except SeriesRejected as rejected:  # read_ct checked the headers only
            raise PriorUnreadable(series_uid, str(rejected), "readable pixels are required") from None


def _ct(files: PriorFiles) -> PriorCt | None:
    """Return the CT; None if it is absent or rejected (e.g. incomplete): the documents have their own geometry."""
    try:
        return read_ct(files.ct) if files.ct else None
    except SeriesRejected:
        return None


def _series_of(documents: Sequence[Dataset]) -> str:
    for document in sorted(documents, key=is_ours, reverse=True):
        for series_uid in ct_series_of(document):
            return series_uid
    raise PriorUnreadable("a scan without CT", f"none of {len(documents)} documents refers to a CT", "one is required")


def _prior(ct: PriorCt | None, series_uid: str, content: PriorContent, lungs: Mask | None) -> Prior:
    document = content.documents.all[0]
    with readable(series_uid):
        study = ct.acquisition.date if ct else study_date(document)
        study_uid = ct.study_uid if ct else str(document.StudyInstanceUID)
        report = _report(content.documents)
    if study is None:
        raise PriorUnreadable(series_uid, "it has no study date", "a comparison requires one")
    return Prior(
        date=study,
        study_uid=study_uid,
        series_uid=series_uid,
        frame_of_reference_uid=ct.frame_of_reference_uid if ct else content.frame_of_reference_uid,
        slice_mm=spacing_of(ct.grid.affine)[0] if ct else content.slice_mm,
        lesions=tuple(_lesion(lesion, ct) for lesion in content.lesions),
        lungs=lungs,
        kernel=ct.acquisition.kernel if ct else None,
        has_contrast=ct.acquisition.has_contrast if ct else None,
        origin=content.origin,
        report=report,
    )


def _lesion(lesion: DocumentedLesion, ct: PriorCt | None) -> PriorLesion:
    record = lesion.record
    return PriorLesion(
        tracking_uid=record.tracking_uid,
        tracking_id=record.tracking_id,
        state=record.state,
        merged_into=record.merged_into,
        split_from=record.split_from,
        outline=lesion.outline,
        sizes=lesion.sizes,
        mass_g=lesion.mass_g,
        image=ct.grid.image_through(lesion.outline) if ct and lesion.outline else None,
    )


def _lungs(files: PriorFiles, ct: PriorCt | None) -> Mask | None:
    """Return the lungs from the file of our job, else segment them in the CT."""
    if files.lungs is not None:
        with suppress(RuntimeError):
            return read_lungs(files.lungs)
    lungs = outline_lungs(find_lung_air(ct.read_volume())) if ct else None
    return None if lungs is None else Mask(voxels=np.asarray(lungs.lobes > 0), affine=lungs.affine)


def _report(documents: Documents) -> ReportReference | None:
    """Return a reference to our report, else to the newest report of a reader."""
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


def read_labels(seg: Dataset, images: Sequence[Frame]) -> NDArray[np.uint16]:
    """Return the segment number of each voxel of a BINARY SEG, 0 for none, axes (slice, row, column).

    images: the source of each slice. Raises KeyError if a frame refers to none of them.
    """
    slices = {image: index for index, image in enumerate(images)}
    labels = np.zeros((len(slices), seg.Rows, seg.Columns), np.uint16)
    frames = np.atleast_3d(seg.pixel_array).reshape(-1, seg.Rows, seg.Columns)
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        source = frame_referred_to(groups.DerivationImageSequence[0].SourceImageSequence[0])
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        labels[slices[source]][frame > 0] = number
    return labels
