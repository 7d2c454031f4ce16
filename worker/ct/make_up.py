"""What the images of a series are, by their headers: one reconstruction of original slices in Hounsfield units.

Raises a SeriesRejected for projections, maps of a material, screens, and for several reconstructions in one series.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from pydicom.dataset import Dataset

from dicom_node.selection.image_kind import ImageKind, image_kind
from dicom_node.selection.series_facts import texts_of
from worker.ct.rejections import Localizer, MixedReconstructions, NotCt, NotHounsfield, Projection

EQUAL = ("ConvolutionKernel", "FilterType")
"""Elements that differ between two reconstructions of one acquisition."""
IN_ORDER = ("AcquisitionNumber", "ImageType", "KVP")
"""Elements that may change from slice to slice, each value in one block: scans in steps count their acquisitions."""


def check_image_type(ds: Dataset) -> None:
    """Raise Localizer, Projection, NotHounsfield or NotCt if Image Type (0008,0008) names another kind of image."""
    uids = (str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID))
    if (found := image_kind(texts_of(ds, "ImageType"))) is None:
        return
    kind, value = found
    if kind is ImageKind.LOCALIZER:
        raise Localizer(*uids)
    if kind is ImageKind.PROJECTION:
        raise Projection(*uids, value)
    if kind is ImageKind.MAP:
        raise NotHounsfield(*uids, f"Image Type says {value}, a map")
    raise NotCt(*uids, f"Image Type says {value}")


def check_one_reconstruction(datasets: Sequence[Dataset]) -> None:
    """Raise MixedReconstructions if the images, in the order of their positions, are of several reconstructions."""
    series_uid = str(datasets[0].SeriesInstanceUID)
    for keyword in (*EQUAL, *IN_ORDER):
        values = [texts_of(ds, keyword) for ds in datasets]
        blocks = len(list(itertools.groupby(values)))
        different = len(set(values))
        if different > 1 and (keyword in EQUAL or blocks > different):
            raise MixedReconstructions(series_uid, keyword, different)
