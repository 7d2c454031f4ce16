"""What the images of a series are, by their headers: one reconstruction of original slices in Hounsfield units.

Raises a SeriesRejected for projections, maps of a material, screens, and for several reconstructions in one series.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence

from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset

from dicom_node.dicom_file import texts_of
from dicom_node.selection.image_kind import TYPES, ImageKind, image_kind
from worker.ct.frame_reference import frame_of
from worker.ct.rejections import Localizer, MixedReconstructions, NotCt, NotHounsfield, Projection

EQUAL = ("ConvolutionKernel", "FilterType", "MonoenergeticEnergyEquivalent")
"""Elements that differ between two reconstructions of one acquisition."""
DIMENSIONS = (
    "StackID", "TemporalPositionIndex", "TemporalPositionIdentifier", "NominalPercentageOfCardiacPhase",
    "NominalPercentageOfRespiratoryPhase",
)  # fmt: skip
"""Elements that number the volumes of an object or a series."""
IN_ORDER = (*DIMENSIONS, "ContrastBolusAgent", "AcquisitionNumber", "ImageType", "KVP")
"""Elements that may change from slice to slice, each value in one block: scans in steps count their acquisitions."""
APART = (
    *EQUAL, *DIMENSIONS, "TriggerTime", "ContrastBolusAgent", "KVP", "SliceThickness", "ImageType", "AcquisitionNumber",
    "AcquisitionDateTime", "AcquisitionTime",
)  # fmt: skip
"""Elements that tell images at one position apart, those that say most first. Each slice may have a time of its own."""


def check_image_type(ds: Dataset) -> None:
    """Raise Localizer, Projection, NotHounsfield or NotCt if Image Type (0008,0008) names another kind of image."""
    uids = (str(ds.SeriesInstanceUID), frame_of(ds).name)
    for keyword in TYPES:
        if (found := image_kind(texts_of(ds, keyword))) is None:
            continue
        kind, value = found
        says = f"{dictionary_description(keyword)} says {value}"
        if kind is ImageKind.LOCALIZER:
            raise Localizer(*uids)
        if kind is ImageKind.PROJECTION:
            raise Projection(*uids, value)
        if kind is ImageKind.MAP:
            raise NotHounsfield(*uids, f"{says}, a map")
        raise NotCt(*uids, says)


def check_one_volume(datasets: Sequence[Dataset]) -> None:
    """Raise MixedReconstructions if images at one position differ in an element of APART."""
    at_position: dict[tuple[str, ...], list[Dataset]] = defaultdict(list)
    for ds in datasets:
        at_position[texts_of(ds, "ImagePositionPatient")].append(ds)
    groups = [group for position, group in at_position.items() if position]
    for keyword in APART:
        if any(_different(group, keyword) > 1 for group in groups if len(group) > 1):
            raise MixedReconstructions(str(datasets[0].SeriesInstanceUID), keyword, _different(datasets, keyword))


def check_one_reconstruction(datasets: Sequence[Dataset]) -> None:
    """Raise MixedReconstructions if the images, in the order of their positions, are of several reconstructions."""
    series_uid = str(datasets[0].SeriesInstanceUID)
    for keyword in (*EQUAL, *IN_ORDER):
        values = [texts for ds in datasets if (texts := texts_of(ds, keyword))]  # what is not told contradicts nothing
        blocks = len(list(itertools.groupby(values)))
        different = len(set(values))
        if different > 1 and (keyword in EQUAL or blocks > different):
            raise MixedReconstructions(series_uid, keyword, different)


def _different(datasets: Sequence[Dataset], keyword: str) -> int:
    return len({texts_of(ds, keyword) for ds in datasets})
