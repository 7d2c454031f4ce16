"""Whether an instance that comes again says what is stored of it, in whatever way the sender has encoded it.

A PACS passes on what a scanner sent with lengths, groups and a transfer syntax of its own. That is no new version.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from pydicom.dataset import Dataset, FileDataset
from pydicom.filewriter import correct_ambiguous_vr
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from dicom_node.dicom_file import DAMAGE, read_file
from dicom_node.errors import UnreadableInstance

MOST_COMPARED = 64 << 20
"""Bytes; a longer instance that is encoded otherwise counts as another version."""
_PIXEL_DATA, _PADDING = Tag("PixelData"), Tag("DataSetTrailingPadding")
_PLAIN = {ImplicitVRLittleEndian, ExplicitVRLittleEndian}
"""Transfer syntaxes with the same bytes in Pixel Data."""


def says_the_same(stored: Path, again: bytes) -> bool:
    """Return whether two files have the same standard elements and pixels. again: a whole file. Raises OSError.

    Pixels in different transfer syntaxes are not decoded: they count as the same if every other element is, since lossy
    compression changes Lossy Image Compression, and the SOP Instance UID (PS3.3 C.7.6.1.1.5).
    """
    if max(stored.stat().st_size, len(again)) > MOST_COMPARED:
        return False
    try:
        first, second = read_file(stored), read_file(BytesIO(again))
        return _have_same_pixels(first, second) and _standard_elements(first) == _standard_elements(second)
    except (UnreadableInstance, *DAMAGE):
        return False


def _have_same_pixels(first: FileDataset, second: FileDataset) -> bool:
    syntaxes = {first.file_meta.TransferSyntaxUID, second.file_meta.TransferSyntaxUID}
    if len(syntaxes) > 1 and not syntaxes <= _PLAIN:
        return True
    pixels = [bytes(dataset.get("PixelData") or b"") for dataset in (first, second)]
    return pixels[0].rstrip(b"\0") == pixels[1].rstrip(b"\0")  # one may have a byte of padding


def _standard_elements(dataset: Dataset) -> Dataset:
    kept = Dataset()
    for tag in dataset.keys():  # noqa: SIM118 - a Dataset iterates over its elements
        if not (tag.is_private or tag.element == 0 or tag in (_PIXEL_DATA, _PADDING)):
            kept[tag] = dataset[tag]
    return correct_ambiguous_vr(kept, is_little_endian=True)
