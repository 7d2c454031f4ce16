"""Writes the SR of a rejected series, if the setting `worker.report_rejected` is on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_node.errors import SeriesRejected
from dicom_node.series import Document
from models.segmenter import ModelCard
from worker.outputs.dicom.sr.report import encode_rejection

_FILE_NAME = "rejection.dcm"
_NEEDED = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


def write_rejection(
    paths: Sequence[Path], rejection: SeriesRejected, card: ModelCard, job_key: str, folder: Path
) -> list[Document]:
    """Write the SR into the folder. Returns an empty list if no header is readable: the study is then unknown."""
    images = _readable_headers(paths)
    if not images:
        return []
    report = encode_rejection(job_key, rejection.reason, card, images)
    report.save_as(folder / _FILE_NAME, enforce_file_format=True)
    return [
        Document(
            sop_class_uid=str(report.SOPClassUID),
            sop_instance_uid=str(report.SOPInstanceUID),
            file_name=_FILE_NAME,
        )
    ]


def _readable_headers(paths: Sequence[Path]) -> list[Dataset]:
    """Return the readable headers of the study of the first readable instance."""
    images: list[Dataset] = []
    for path in paths:
        try:
            image = pydicom.dcmread(path, stop_before_pixels=True)
            is_complete = all(image.get(keyword) for keyword in _NEEDED)
        except (InvalidDicomError, OSError, EOFError, ValueError, TypeError, AttributeError, KeyError):
            continue
        if is_complete and (not images or image.StudyInstanceUID == images[0].StudyInstanceUID):
            images.append(image)
    return images
