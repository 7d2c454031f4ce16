"""Reads the header of a fetched SEG or SR: its manufacturer, the CT and the results that it refers to.

The worker reads the content.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset

from dicom_node.dicom_file import DAMAGE, read_file
from dicom_node.errors import UnreadableInstance
from dicom_node.identifiers import CT_IMAGES, RESULTS, SEGMENTATIONS, is_ours
from dicom_node.prior import Result

_EVIDENCE = (
    "CurrentRequestedProcedureEvidenceSequence",
    "PertinentOtherEvidenceSequence",
    "PredecessorDocumentsSequence",
)


def read_results(path: Path) -> list[Result]:
    """Return the result in a file, once per CT series of its study that it refers to. Raises UnreadableInstance."""
    try:
        header = read_file(path, header_only=True)
        return [_result(header, series_uid) for series_uid in sorted(set(_ct_series(header)))]
    except UnreadableInstance as error:
        raise UnreadableInstance(f"a fetched result cannot be read: {error}") from None
    except (*DAMAGE, OSError) as error:
        # The library's message may quote values, so only the type of the error is reported.
        raise UnreadableInstance(f"a fetched result cannot be read ({type(error).__name__})") from None


def _result(header: Dataset, ct_series_uid: str) -> Result:
    return Result(
        sop_instance_uid=str(header.SOPInstanceUID),
        sop_class_uid=str(header.SOPClassUID),
        series_uid=str(header.SeriesInstanceUID),
        study_uid=str(header.StudyInstanceUID),
        ct_series_uid=ct_series_uid,
        is_ours=is_ours(header),
        refers_to=tuple(sorted({pair for pair in _references(header) if pair[0] in RESULTS})),
    )


def _ct_series(header: Dataset) -> Iterator[str]:
    """Yield the CT series of the result's own study; a report over time refers to those of prior studies too."""
    if header.SOPClassUID in SEGMENTATIONS:
        yield from (str(series.SeriesInstanceUID) for series in header.get("ReferencedSeriesSequence") or [])
        return
    for study in header.get("CurrentRequestedProcedureEvidenceSequence") or []:
        if study.StudyInstanceUID == header.StudyInstanceUID:
            for series in study.ReferencedSeriesSequence:
                if any(item.ReferencedSOPClassUID in CT_IMAGES for item in series.ReferencedSOPSequence):
                    yield str(series.SeriesInstanceUID)


def _references(header: Dataset) -> Iterator[tuple[str, str]]:
    for keyword in _EVIDENCE:
        for study in header.get(keyword) or []:
            for series in study.get("ReferencedSeriesSequence") or []:
                for item in series.get("ReferencedSOPSequence") or []:
                    yield str(item.ReferencedSOPClassUID), str(item.ReferencedSOPInstanceUID)
