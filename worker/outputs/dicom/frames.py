"""References of a document to the frames of multi-frame images.

highdicom 0.28 takes its source images from one multi-frame image or from several single-frame images, but a series may
have several multi-frame images. It gets a header of a single-frame image for each frame, with a UID in the frame's
place; the references to these UIDs are replaced in the finished document.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage

from worker.frame import Frame
from worker.uids import derived_uid

_WITH_REFERENCES = ("PerFrameFunctionalGroupsSequence", "ContentSequence")
_EVIDENCE = ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence")


def stand_in(header: Dataset, frame: Frame) -> str:
    """Make the header that of a single-frame image in the place of a frame, and return its UID."""
    uid = derived_uid(frame.sop_instance_uid, "frame", str(frame.number))
    header.add_new("SOPClassUID", "UI", CTImageStorage)
    header.add_new("SOPInstanceUID", "UI", uid)
    return uid


def refer_to_frames(document: Dataset, frames: Mapping[str, Frame]) -> None:
    """Replace the references to these UIDs by references to the frames in whose place they are."""
    if not frames:
        return
    for holder, keyword in _instance_lists(document):
        setattr(holder, keyword, _instances(holder[keyword].value, frames))

    def refer(reference: Dataset, element: DataElement) -> None:
        frame = frames.get(element.value) if element.keyword == "ReferencedSOPInstanceUID" else None
        if frame is not None:
            _set_instance(reference, frame)
            reference.ReferencedFrameNumber = frame.number

    for keyword in _WITH_REFERENCES:
        for item in document.get(keyword, ()):
            item.walk(refer)


def _instance_lists(document: Dataset) -> Iterator[tuple[Dataset, str]]:
    """Yield the sequences that list instances, not frames, each by its holder and keyword (PS3.3 C.12.2, C.17.2.1)."""
    studies = [study for keyword in _EVIDENCE for study in document.get(keyword, ())]
    for holder in (document, *(series for study in (document, *studies) for series in _series_of(study))):
        for keyword in ("SourceImageSequence", "ReferencedInstanceSequence", "ReferencedSOPSequence"):
            if keyword in holder:
                yield holder, keyword


def _series_of(holder: Dataset) -> list[Dataset]:
    return list(holder.get("ReferencedSeriesSequence", ()))


def _instances(references: list[Dataset], frames: Mapping[str, Frame]) -> list[Dataset]:
    """Return the references with those to frames replaced by one to each of their images."""
    found: dict[str, Dataset] = {}
    for reference in references:
        uid = str(reference.ReferencedSOPInstanceUID)
        if uid in frames:
            uid, reference = frames[uid].sop_instance_uid, _set_instance(Dataset(), frames[uid])  # noqa: PLW2901
        found.setdefault(uid, reference)
    return list(found.values())


def _set_instance(reference: Dataset, frame: Frame) -> Dataset:
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = frame.sop_class_uid, frame.sop_instance_uid
    return reference
