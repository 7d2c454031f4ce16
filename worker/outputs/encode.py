"""Encoders from a report to DICOM documents."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from pydicom.dataset import Dataset

from worker.outputs.dicom.seg import encode_seg
from worker.outputs.dicom.source import Source
from worker.outputs.dicom.sr.report import encode_sr
from worker.report import Report

Encoder = Callable[[Report, Source, Mapping[str, Dataset]], Dataset | None]
"""The last argument holds the documents encoded so far, by name. Returns None if the document would be empty."""

OUTPUTS: Mapping[str, Encoder] = {
    "seg": lambda report, source, _: encode_seg(report.findings, source),
    "sr": lambda report, source, encoded: encode_sr(report, source, encoded.get("seg")),
}
"""Encoders by output name (setting `worker.outputs`), in encoding order."""


def encode(report: Report, source: Source, names: Collection[str]) -> dict[str, Dataset]:
    """Return the requested documents by output name, in the order of OUTPUTS."""
    documents: dict[str, Dataset] = {}
    for name, encoder in OUTPUTS.items():
        if name in names and (document := encoder(report, source, documents)) is not None:
            documents[name] = document
    return documents
