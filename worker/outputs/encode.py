"""The encoders: findings in, a DICOM document out. Knows no file names and no network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from pydicom.dataset import Dataset

from worker.findings import Findings
from worker.outputs.dicom.seg import encode_seg
from worker.outputs.dicom.source import SourceImages
from worker.outputs.dicom.sr.report import encode_sr

Encoder = Callable[[Findings, SourceImages, Mapping[str, Dataset]], Dataset | None]
"""Called with the documents that were encoded before it; None when there is nothing to say in this form."""

OUTPUTS: Mapping[str, Encoder] = {
    "seg": lambda findings, images, _: encode_seg(findings, images),
    "sr": lambda findings, images, earlier: encode_sr(findings, images, earlier.get("seg")),
}
"""Every output by its name in `worker.outputs`, in the order in which they are encoded."""


def encode(findings: Findings, source_images: SourceImages, names: Collection[str]) -> dict[str, Dataset]:
    """Return the named outputs by name, in the order of OUTPUTS."""
    documents: dict[str, Dataset] = {}
    for name, encoder in OUTPUTS.items():
        if name in names and (document := encoder(findings, source_images, documents)) is not None:
            documents[name] = document
    return documents
