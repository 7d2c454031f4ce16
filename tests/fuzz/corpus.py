"""The well-formed inputs that are mutated, made from the product's own phantoms."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from dicom_node.identifiers import CT_IMAGE
from tests.fixtures.encoded_ct import ENCODINGS
from tests.fixtures.small_site import chest
from tests.fixtures.worker.multi_frame import converted, enhanced

SERIES = "1.2.826.0.1.3680043.10.1511.77"
SLICES = 4
_PREFIX = 132
_PIXELS = b"\xe0\x7f\x10\x00"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A series as files of one transfer syntax."""

    name: str
    syntax: str
    sop_class_uid: str
    files: tuple[bytes, ...]

    def data_set_start(self, number: int) -> int:
        """Return where the data set of a file begins, after its file meta information (PS3.10 7.1)."""
        return _PREFIX + 12 + int.from_bytes(self.files[number][_PREFIX + 8 : _PREFIX + 12], "little")

    def pixels_start(self, number: int) -> int:
        """Return where the pixel data of a file begins."""
        return max(self.files[number].rfind(_PIXELS), self.data_set_start(number))


@cache
def samples() -> tuple[Sample, ...]:
    """Return the small chest in every transfer syntax that there is an encoder for, and as multi-frame images."""
    with tempfile.TemporaryDirectory() as folder:
        found = [_encoded(encoding.name, encoding.encode, Path(folder)) for encoding in ENCODINGS]
    images = chest(SERIES)[:SLICES]
    found += [_multi_frame("Enhanced CT", enhanced(images)), _multi_frame("Legacy Converted CT", converted(images))]
    return tuple(sample for sample in found if sample is not None)


def _encoded(name: str, encode: Callable[[Path], object], folder: Path) -> Sample | None:
    files, syntax = [], ""
    for image in chest(SERIES)[:SLICES]:
        file = folder / "image.dcm"
        image.save_as(file, enforce_file_format=True)
        try:
            encode(file)
        except pytest.skip.Exception:  # dcmtk is not installed
            return None
        files.append(file.read_bytes())
        syntax = str(pydicom.dcmread(file, stop_before_pixels=True).file_meta.TransferSyntaxUID)
    return Sample(name=name, syntax=syntax, sop_class_uid=CT_IMAGE, files=tuple(files))


def _multi_frame(name: str, image: pydicom.Dataset) -> Sample:
    buffer = BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    syntax, sop_class_uid = str(image.file_meta.TransferSyntaxUID), str(image.SOPClassUID)
    return Sample(name=name, syntax=syntax, sop_class_uid=sop_class_uid, files=(buffer.getvalue(),))
