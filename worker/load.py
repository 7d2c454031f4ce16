"""Files of one series to a volume in Hounsfield units; refuses what it cannot place in space or read whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage

from dicom_node.errors import SeriesRejected
from models.volume import Volume
from worker.geometry import MissingGeometry, place

FEWEST_SLICES = 3
AIR_HU = -1024.0
"""Padding, and what lies below the scale, becomes air."""

_KEPT_UIDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")


class UnreadableFile(SeriesRejected):
    """A file is not DICOM, or ends before its header does."""


class NotCt(SeriesRejected):
    """An object of another kind lies among the images."""


class Localizer(SeriesRejected):
    """A scout view, not a slice."""


class MultiFrame(SeriesRejected):
    """An enhanced, multi-frame object."""


class MixedSeries(SeriesRejected):
    """Instances of several series, or of several frames of reference."""


class DuplicateInstances(SeriesRejected):
    """One SOP instance UID stands in two files."""


class TooFewSlices(SeriesRejected):
    """A volume needs more slices."""


class NotHounsfield(SeriesRejected):
    """Pixel values cannot be turned into Hounsfield units."""


class TruncatedInstance(SeriesRejected):
    """The pixels of an instance are cut off, or cannot be decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSeries:
    """A volume, and the headers that it came from, one per slice, in slice order, without pixels."""

    volume: Volume
    images: tuple[Dataset, ...]

    @property
    def frame_of_reference_uid(self) -> str:
        """The frame of reference that the affine refers to."""
        return str(self.images[0].FrameOfReferenceUID)


def load(paths: Sequence[Path]) -> LoadedSeries:
    """Load the files of one CT series, given in any order.

    Raises SeriesRejected, named for the reason, with the UID, the fact and the limit in one line.
    """
    images = [_read(path) for path in paths]
    if not images:
        raise TooFewSlices("unknown", "no files")
    series_uid = str(images[0].get("SeriesInstanceUID", "unknown"))
    for image in images:
        _require_ct_slice(series_uid, image)
    _require_one_series(series_uid, images)
    if len(images) < FEWEST_SLICES:
        raise TooFewSlices(series_uid, f"{len(images)} slices, at least {FEWEST_SLICES} are needed")
    placement = place(series_uid, images)
    ordered = tuple(images[index] for index in placement.order)
    hu = np.empty((len(ordered), ordered[0].Rows, ordered[0].Columns), np.float32)
    for index, image in enumerate(ordered):
        hu[index] = _hounsfield(series_uid, image)
        del image.PixelData
    return LoadedSeries(volume=Volume(hu=hu, affine=placement.affine), images=ordered)


def _read(path: Path) -> Dataset:
    try:
        image = pydicom.dcmread(path)
        missing = [keyword for keyword in _KEPT_UIDS if not image.get(keyword)]
    except (InvalidDicomError, EOFError, OSError, ValueError, AttributeError, KeyError) as error:
        # Not the file's name and not the error's text: both may speak of the patient.
        raise UnreadableFile("unknown", f"a file is not readable as DICOM ({type(error).__name__})") from None
    if missing:
        raise UnreadableFile(str(image.get("SeriesInstanceUID", "unknown")), f"a file ends before its {missing[0]}")
    return image


def _require_ct_slice(series_uid: str, image: Dataset) -> None:
    uid = image.SOPInstanceUID
    if image.get("SOPClassUID") == EnhancedCTImageStorage or int(image.get("NumberOfFrames") or 1) > 1:
        raise MultiFrame(series_uid, f"instance {uid} is multi-frame; single-frame CT Image Storage is needed")
    if image.get("SOPClassUID") != CTImageStorage or image.get("Modality", "CT") != "CT":
        sop_class = str(image.get("SOPClassUID", "unknown"))
        raise NotCt(series_uid, f"instance {uid} has SOP class {sop_class}, only CT Image Storage is analysed")
    if "LOCALIZER" in (image.get("ImageType") or ()):
        raise Localizer(series_uid, f"instance {uid} is a localizer, not a slice")
    if image.get("PixelData") is None:
        raise TruncatedInstance(series_uid, f"instance {uid} has no pixel data")


def _require_one_series(series_uid: str, images: Sequence[Dataset]) -> None:
    series = {str(image.SeriesInstanceUID) for image in images}
    if len(series) > 1:
        raise MixedSeries(series_uid, f"the files belong to {len(series)} series, one at a time is analysed")
    for image in images:
        if not image.get("FrameOfReferenceUID"):
            raise MissingGeometry(series_uid, f"instance {image.SOPInstanceUID} has no FrameOfReferenceUID")
    frames = {str(image.FrameOfReferenceUID) for image in images}
    if len(frames) > 1:
        raise MixedSeries(series_uid, f"the slices lie in {len(frames)} frames of reference")
    uid, count = Counter(str(image.SOPInstanceUID) for image in images).most_common(1)[0]
    if count > 1:
        raise DuplicateInstances(series_uid, f"instance {uid} is there {count} times")


def _hounsfield(series_uid: str, image: Dataset) -> NDArray[np.float32]:
    """Return one slice in HU (PS3.3 C.8.2.1.1.5 for its rescale; C.7.5.1.1.2 for padding)."""
    slope, intercept = image.get("RescaleSlope"), image.get("RescaleIntercept")
    if slope in (None, "", 0) or intercept in (None, ""):
        raise NotHounsfield(series_uid, f"instance {image.SOPInstanceUID} has no RescaleSlope and RescaleIntercept")
    if image.get("RescaleType") not in (None, "", "HU"):
        raise NotHounsfield(series_uid, f"instance {image.SOPInstanceUID} has a RescaleType other than HU")
    stored = _stored_values(series_uid, image)
    hu = stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
    padding = image.get("PixelPaddingValue")
    if padding is not None:
        limits = sorted((int(padding), int(image.get("PixelPaddingRangeLimit", padding))))
        hu[(stored >= limits[0]) & (stored <= limits[1])] = AIR_HU
    return np.asarray(np.maximum(hu, AIR_HU), np.float32)


def _stored_values(series_uid: str, image: Dataset) -> NDArray[np.integer]:
    if not image.file_meta.TransferSyntaxUID.is_compressed:
        expected, found = image.Rows * image.Columns * image.BitsAllocated // 8, len(image.PixelData)
        if found < expected:
            raise TruncatedInstance(
                series_uid, f"instance {image.SOPInstanceUID} has {found} bytes of pixels, {expected} are needed"
            )
    try:
        stored: NDArray[np.integer] = image.pixel_array
    except (ValueError, RuntimeError, AttributeError, NotImplementedError, OSError) as error:
        raise TruncatedInstance(
            series_uid, f"instance {image.SOPInstanceUID}: its pixels cannot be decoded ({type(error).__name__})"
        ) from None
    if stored.shape != (image.Rows, image.Columns):
        raise TruncatedInstance(series_uid, f"instance {image.SOPInstanceUID} does not decode to one grey slice")
    return stored
