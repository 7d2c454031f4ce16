"""Images of a series with their pixel data, one at a time: of a file, or of a frame of a multi-frame file."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.tag import Tag

from dicom_node.dicom_file import read_file
from dicom_node.transfer_syntaxes import UNCOMPRESSED

_PIXEL_DATA = Tag("PixelData")
_OF_ALL_FRAMES = (
    "PixelData", "NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
)  # fmt: skip


class ImageFiles:
    """Opens the files of a series; multi-frame files stay open, as their frames may be needed in any order."""

    def __init__(self) -> None:
        self._multi_frame: dict[Path, _MultiFrameFile] = {}

    def image(self, path: Path, frame_number: int | None) -> Dataset:
        """Return the image of a file, or its frame with a number from 1 as a single-frame image.

        Raises UnreadableInstance, and the errors of pydicom on damaged bytes (DAMAGE).
        """
        if frame_number is None:
            return read_file(path)
        if path not in self._multi_frame:
            self._multi_frame[path] = _MultiFrameFile(read_file(path))
        return self._multi_frame[path].image(frame_number)


class _MultiFrameFile:
    def __init__(self, image: Dataset) -> None:
        self._frames = _encoded_frames(image)
        self._image = image
        for keyword in _OF_ALL_FRAMES:
            image.pop(Tag(keyword), None)

    def image(self, frame_number: int) -> Dataset:
        image = Dataset({tag: self._image.get_item(tag) for tag in self._image.keys()})  # noqa: SIM118
        image.file_meta = deepcopy(self._image.file_meta)  # a decoder may name another transfer syntax for its output
        image.set_original_encoding(*self._image.original_encoding)
        if self._frames:
            image[_PIXEL_DATA] = DataElement(_PIXEL_DATA, "OW", bytes(self._frames[frame_number - 1]))
        return image


def _encoded_frames(image: Dataset) -> Sequence[bytes | memoryview]:
    """Return the pixel data of each frame as that of a single-frame image; none if it is cut off by the file's end."""
    if image.get_item(_PIXEL_DATA) is None:
        return ()
    encoded, frames = image.PixelData, int(image.NumberOfFrames)
    if image.file_meta.TransferSyntaxUID not in UNCOMPRESSED:
        offsets = (image.get("ExtendedOffsetTable"), image.get("ExtendedOffsetTableLengths"))
        extended = (offsets[0], offsets[1]) if offsets[0] and offsets[1] else None
        found = generate_frames(encoded, number_of_frames=frames, extended_offsets=extended)
        return [encapsulate([frame], has_bot=False) for frame in found]
    size = image.Rows * image.Columns * image.BitsAllocated // 8
    return [memoryview(encoded)[start : start + size] for start in range(0, frames * size, size)]
