"""Headers of the frames of a multi-frame CT image, each as flat as that of a single-frame image.

A multi-frame image describes its frames by functional groups, shared by all frames or of one frame (PS3.3
C.7.6.16.1). Laid out flat under the keywords of a single-frame image, one code checks the images of both kinds.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from dicom_node.identifiers import MULTI_FRAME_CT

FUNCTIONAL_GROUPS = (
    "NumberOfFrames", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
    "ContrastBolusAgentSequence",
)  # fmt: skip
"""Elements of a multi-frame image that describe its frames."""
SHARED, PER_FRAME = Tag("SharedFunctionalGroupsSequence"), Tag("PerFrameFunctionalGroupsSequence")
CONVERTED = (
    Tag("UnassignedSharedConvertedAttributesSequence"), Tag("UnassignedPerFrameConvertedAttributesSequence"),
)  # fmt: skip
"""What else the images had that a legacy converted image was made of; its own elements take precedence."""
RENAMED = {Tag("FrameType"): Tag("ImageType"), Tag("FrameAcquisitionNumber"): Tag("AcquisitionNumber")}
"""Elements of functional groups that have another keyword in a single-frame image."""

_Elements = dict[BaseTag, DataElement | RawDataElement]


class FramesNotDescribed(ValueError):  # noqa: N818 - named for the fact
    """A multi-frame image has not as many items of functional groups as frames."""


def frame_headers(header: Dataset) -> list[Dataset]:
    """Return the header of each frame of an image, in their order; of a single-frame image, the header itself.

    ReferencedFrameNumber is the number of the frame. Raises FramesNotDescribed.
    """
    if header.get("SOPClassUID") not in MULTI_FRAME_CT:
        return [header]
    frames, per_frame = int(header.get("NumberOfFrames") or 0), _items(header, PER_FRAME)
    if frames < 1 or len(per_frame) != frames:
        raise FramesNotDescribed(f"NumberOfFrames is {frames}, functional groups describe {len(per_frame)}")
    of_image, of_all = _elements(header), _items(header, SHARED)[:1]
    for tag in (SHARED, PER_FRAME, Tag("NumberOfFrames")):
        of_image.pop(tag, None)
    headers = []
    for number, of_frame in enumerate(per_frame, start=1):
        groups = [*of_all, of_frame]
        converted, described = (_elements_in(groups, is_converted=kind) for kind in (True, False))
        flat = Dataset(converted | of_image | described)
        flat.file_meta, flat.ReferencedFrameNumber = header.file_meta, number
        _set_contrast(flat)
        headers.append(flat)
    return headers


def _set_contrast(flat: Dataset) -> None:
    """Set Contrast/Bolus Agent, a text in single-frame images, from the agents and their use for the frame."""
    agents = flat.get("ContrastBolusAgentSequence")
    if agents and not flat.get("ContrastBolusAgent") and flat.get("ContrastBolusAgentAdministered") != "NO":
        flat.add_new("ContrastBolusAgent", "LO", agents[0].get("CodeMeaning") or "administered")


def _elements_in(groups: Sequence[Dataset], *, is_converted: bool) -> _Elements:
    """Return the elements of the first item of each functional group under the keywords of a single-frame image."""
    found: _Elements = {}
    for item in (item for group in groups for tag in _tags(group, is_converted) for item in _items(group, tag)[:1]):
        found |= _elements(item)
        for tag, renamed in RENAMED.items():
            if tag in item:
                found[renamed] = DataElement(renamed, item[tag].VR, item[tag].value)
    return found


def _tags(group: Dataset, is_converted: bool) -> list[BaseTag]:
    return [tag for tag in group.keys() if (tag in CONVERTED) is is_converted]  # noqa: SIM118


def _items(dataset: Dataset, tag: BaseTag) -> list[Dataset]:
    return list(dataset[tag].value or ()) if tag in dataset and dataset[tag].VR == "SQ" else []


def _elements(dataset: Dataset) -> _Elements:
    """Return the elements as they were read: values are parsed where they are needed."""
    return {tag: dataset.get_item(tag) for tag in dataset.keys()}  # noqa: SIM118
