"""DICOM identifiers of node and worker: SOP classes, well-known instances, and what makes a document ours."""

from __future__ import annotations

import re

from pydicom import Dataset

PRODUCT = "LungSpread"
"""Manufacturer and Manufacturer's Model Name of every document of ours."""

VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class."""
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
"""Its one well-known SOP instance (PS3.4 J.3.5)."""
STUDY_ROOT_FIND, STUDY_ROOT_MOVE, STUDY_ROOT_GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MULTI_FRAME_CT = {
    "1.2.840.10008.5.1.4.1.1.2.1": "Enhanced CT Image",
    "1.2.840.10008.5.1.4.1.1.2.2": "Legacy Converted Enhanced CT Image",
}
CT_IMAGES = (CT_IMAGE, *MULTI_FRAME_CT)
"""SOP classes of the images that are analysed."""
REPORTS = {
    "1.2.840.10008.5.1.4.1.1.88.22": "Enhanced SR",
    "1.2.840.10008.5.1.4.1.1.88.33": "Comprehensive SR",
    "1.2.840.10008.5.1.4.1.1.88.34": "Comprehensive 3D SR",
}
SEGMENTATIONS = {
    "1.2.840.10008.5.1.4.1.1.66.4": "Segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation",
}
RESULTS = (*REPORTS, *SEGMENTATIONS)
"""SOP classes of result documents, ours and readers', that are fetched in addition to the CT."""


_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def is_uid(value: object) -> bool:
    """Return whether a value is a UID: digits and dots, at most 64 characters (PS3.5 9.1).

    Leading zeros in a component are invalid but occur.
    """
    return isinstance(value, str) and len(value) <= 64 and _UID.fullmatch(value) is not None


def is_ours(document: Dataset) -> bool:
    """Return whether this product created the document: both manufacturer and model name are ours."""
    names = (document.get("Manufacturer"), document.get("ManufacturerModelName"))
    return all(str(name or "").strip() == PRODUCT for name in names)
