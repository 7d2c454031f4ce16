"""What the images of a series are, by their headers: one reconstruction of original slices in Hounsfield units.

Raises a SeriesRejected for projections, maps of a material, screens, and for several reconstructions in one series.
Image Type is what scanners and work stations fill most reliably; descriptions are free text and decide nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from pydicom.dataset import Dataset

from worker.ct.rejections import Localizer, MixedReconstructions, NotCt, NotHounsfield, Projection

PROJECTIONS = {"MIP", "MAX_IP", "MAXIP", "MINIP", "MIN_IP", "MIN IP", "PROJECTION IMAGE", "AVERAGE", "AIP", "MEAN"}
"""Image Type, any value: each pixel is the largest, smallest or mean value of a slab, so that a lesion is larger."""
MAPS = {
    "MAT_SPECIFIC", "IODINE", "IODINE_MAP", "MAT_FRACTIONAL", "MAT_REMOVED", "MAT_VALUE_BASED", "EFF_ATOMIC_NUM",
    "ELECTRON_DENSITY", "SUBTRACTION", "SUBTRACT", "PERFUSION", "CBF", "CBV", "MTT", "LABEL_MAP",
}  # fmt: skip
"""Image Type, any value (value 4 of multi-energy CT: PS3.3 C.8.2.1.1.1.4): quantities that are no Hounsfield units."""
SCREENS = {"SCREEN SAVE", "DOSE_INFO", "PATIENT PROTOCOL", "REPORT"}
"""Image Type, any value: pictures of a screen under the SOP class of CT."""
EQUAL = ("ConvolutionKernel", "FilterType")
"""Elements that differ between two reconstructions of one acquisition."""
IN_ORDER = ("AcquisitionNumber", "ImageType", "KVP")
"""Elements that may change from slice to slice, each value in one block: scans in steps count their acquisitions."""


def check_image_type(ds: Dataset) -> None:
    """Raise Localizer, Projection, NotHounsfield or NotCt if Image Type (0008,0008) names another kind of image."""
    uids = (str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID))
    kinds = {kind.upper() for kind in _texts(ds, "ImageType")}
    # PS3.3 C.8.2.1.1.1: value 3 of Image Type is AXIAL or LOCALIZER; some scanners write it as another value.
    if "LOCALIZER" in kinds:
        raise Localizer(*uids)
    if found := kinds & PROJECTIONS:
        raise Projection(*uids, min(found))
    if found := kinds & MAPS:
        raise NotHounsfield(*uids, f"Image Type says {min(found)}, a map")
    if found := kinds & SCREENS:
        raise NotCt(*uids, f"Image Type says {min(found)}")


def check_one_reconstruction(datasets: Sequence[Dataset]) -> None:
    """Raise MixedReconstructions if the images, in the order of their positions, are of several reconstructions."""
    series_uid = str(datasets[0].SeriesInstanceUID)
    for keyword in (*EQUAL, *IN_ORDER):
        values = [_texts(ds, keyword) for ds in datasets]
        blocks = len(list(itertools.groupby(values)))
        different = len(set(values))
        if different > 1 and (keyword in EQUAL or blocks > different):
            raise MixedReconstructions(series_uid, keyword, different)


def _texts(ds: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the values of an element as texts; empty if it is absent or not valid for its VR."""
    try:
        value = ds.get(keyword)
    except (ValueError, TypeError, AttributeError, LookupError):
        return ()
    if value is None:
        return ()
    values = [value] if isinstance(value, str | int | float) else value
    return tuple(str(one).strip() for one in values)
