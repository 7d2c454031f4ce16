"""Writes the SR of a rejected series, if the setting `worker.report_rejected` is on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_node.dicom_file import read_file
from dicom_node.errors import SeriesRejected, UnreadableInstance
from dicom_node.series import Document
from models.segmenter import ModelCard
from worker.ct.elements import require_uids
from worker.ct.rejections import SeveralPatients
from worker.outputs.dicom.source import source_of_images
from worker.outputs.dicom.sr.report import encode_rejection

_FILE_NAME = "rejection.dcm"


def write_rejection(
    paths: Sequence[Path], rejection: SeriesRejected, card: ModelCard, job_key: str, folder: Path
) -> list[Document]:
    """Write the SR into the folder.

    Returns an empty list if no header is readable, so that the study is unknown, or if it is of several patients.
    """
    images = [] if isinstance(rejection, SeveralPatients) else _readable_headers(paths)
    if not images:
        return []
    report = encode_rejection(job_key, rejection.reason, card, source_of_images(images))
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
            image = read_file(path, header_only=True)
            require_uids(image)
        except (UnreadableInstance, OSError):
            continue
        if not images or image.StudyInstanceUID == images[0].StudyInstanceUID:
            images.append(image)
    return images
