"""References to the images and frames of a series: of a header, and in a document."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from dicom_node.identifiers import CT_IMAGE, MULTI_FRAME_CT
from worker.frame import Frame


def frame_of(header: Dataset) -> Frame:
    """Return the frame that a header describes (dicom_node/frame_headers.py); of a single-frame image, the image."""
    sop_class_uid, uid = str(header.get("SOPClassUID", "")), str(header.SOPInstanceUID)
    number = header.get("ReferencedFrameNumber") if sop_class_uid in MULTI_FRAME_CT else None
    return Frame(sop_class_uid=sop_class_uid, sop_instance_uid=uid, number=number)


def frame_referred_to(reference: Dataset) -> Frame:
    """Return the image or frame of a reference (PS3.3 table 10-3), of several frames the first."""
    sop_class_uid, numbers = str(reference.ReferencedSOPClassUID), reference.get("ReferencedFrameNumber")
    first = numbers[0] if isinstance(numbers, MultiValue) else numbers
    return Frame(
        sop_class_uid=sop_class_uid,
        sop_instance_uid=str(reference.ReferencedSOPInstanceUID),
        # Some writers number the frame of a single-frame image, too.
        number=int(first) if first and sop_class_uid != CT_IMAGE else None,
    )
