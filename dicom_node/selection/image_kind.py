"""What an image is, by Image Type (0008,0008): a localizer, a projection, a map, a picture of a screen, or a slice.

Image Type is what scanners and work stations fill most reliably; descriptions are free text and decide nothing here.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum


class ImageKind(StrEnum):
    """A kind of image that is no slice in Hounsfield units."""

    LOCALIZER = "a localizer"
    PROJECTION = "a projection of a slab"
    MAP = "a map"
    SCREEN = "a picture of a screen"


TYPES = ("ImageType", "VolumeBasedCalculationTechnique", "VolumetricProperties")
"""Elements that name the kind of an image; the last two are those of multi-frame CT (PS3.3 C.8.16.2)."""
LOCALIZERS = {"LOCALIZER", "SCOUT", "TOPOGRAM"}
"""PS3.3 C.8.2.1.1.1: value 3 of Image Type is AXIAL or LOCALIZER; some scanners write it as another value."""
PROJECTIONS = {
    "MIP", "MAX_IP", "MAXIP", "MINIP", "MIN_IP", "MIN IP", "PROJECTION IMAGE", "AVERAGE", "AIP", "MEAN", "MAXIMUM",
    "MINIMUM",
}  # fmt: skip
"""Each pixel is the largest, smallest or mean value of a slab, so that a lesion is larger."""
MAPS = {
    "MAT_SPECIFIC", "IODINE", "IODINE_MAP", "MAT_FRACTIONAL", "MAT_REMOVED", "MAT_VALUE_BASED", "EFF_ATOMIC_NUM",
    "ELECTRON_DENSITY", "SUBTRACTION", "SUBTRACT", "PERFUSION", "CBF", "CBV", "MTT", "LABEL_MAP",
    "ADDITION", "DIVISION", "MULTIPLICATION", "STD_DEVIATION", "QUANTITY",
}  # fmt: skip
"""Quantities that are no Hounsfield units (value 4: PS3.3 C.8.2.1.1.1.4 of multi-energy, C.8.16.1.4 of multi-frame CT).
"""
SCREENS = {
    "SCREEN SAVE", "DOSE_INFO", "PATIENT PROTOCOL", "REPORT", "VOLUME_RENDER", "SURFACE_RENDER", "CURVED_MPR",
    "DISTORTED",
}  # fmt: skip
"""Pictures of a screen, or of surfaces that are no planes in space, under the SOP class of CT."""
MONOCHROMATIC = {"VMI", "MONOENERGETIC", "MONO_ENERGETIC", "MONOCHROMATIC", "MONO_E"}
"""Virtual monoenergetic images: Hounsfield units at one energy, which the networks were not trained on."""
REFORMATS = {"MPR", "REFORMATTED", "CSA MPR", "CSAMPR", "VOLREFORMAT", "RESAMPLED"}
"""Slices interpolated from other slices."""

_KINDS = (
    (ImageKind.LOCALIZER, LOCALIZERS),
    (ImageKind.PROJECTION, PROJECTIONS),
    (ImageKind.MAP, MAPS),
    (ImageKind.SCREEN, SCREENS),
)


def image_kind(types: Collection[str]) -> tuple[ImageKind, str] | None:
    """Return the kind that the values of one of TYPES name, and the value that does; None for a slice."""
    values = {value.upper() for value in types}
    for kind, names in _KINDS:
        if found := values & names:
            return kind, min(found)
    return None
