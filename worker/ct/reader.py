"""Reading of a CT series as a volume in Hounsfield units; raises a SeriesRejected for an unsuitable series.

The files are read twice: first the headers only, so that an unsuitable series is rejected before its pixels use memory,
then each image directly into the volume. Each frame of a multi-frame image has a header of its own
(`dicom_node/frame_headers.py`). `geometry.py` checks the geometry, `make_up.py` what the images are, `pixels.py` the
pixels; `rejections.py` lists the reasons for rejection.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from dicom_node.frame_headers import FramesNotDescribed, frame_headers
from dicom_node.identifiers import CT_IMAGES
from models.volume import Volume
from worker.ct.frame_reference import frame_of
from worker.ct.geometry import place
from worker.ct.image_files import ImageFiles
from worker.ct.make_up import check_image_type, check_one_reconstruction, check_one_volume
from worker.ct.pixels import DAMAGE, check_rescale, read_hounsfield
from worker.ct.rejections import (
    DuplicateInstances,
    IncompleteConcatenation,
    MissingGeometry,
    MixedSeries,
    NotCt,
    TruncatedInstance,
    UndescribedFrames,
    UnreadableFile,
)
from worker.ct.resampling import even_stack
from worker.frame import Frame

REQUIRED_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
SINGLE_VALUED = ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "SOPClassUID")

USED_KEYWORDS = (
    *REQUIRED_UIDS, "FrameOfReferenceUID", "Modality", "ImageType", "NumberOfFrames", "SamplesPerPixel", "Rows",
    "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "RescaleSlope", "RescaleIntercept",
    "RescaleType", "PixelPaddingValue", "PixelPaddingRangeLimit",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedSeries:
    """A CT series as a volume, with the headers and references of its source images, in the volume's slice order.

    volume: a slice for each image, or an even stack made of images at varying distances (`Volume.places`).
    datasets: header of each image, flat and without pixel data; they contain patient data.
    """

    volume: Volume
    datasets: tuple[Dataset, ...]
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    frames: tuple[Frame, ...]
    """The images."""

    @property
    def sop_instance_uids(self) -> tuple[str, ...]:
        """The UIDs of the instances, each once."""
        return tuple(dict.fromkeys(frame.sop_instance_uid for frame in self.frames))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """The header of a slice and its file."""

    path: Path
    dataset: Dataset
    has_pixels: bool


def load(paths: Sequence[Path]) -> LoadedSeries:
    """Return one CT series read from its files, given in any order. Raises a SeriesRejected (see rejections.py)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom quotes values in its warnings, and values may name a patient
        headers = _read_headers(paths)
        _check_kind(headers)
        _check_one_series(headers)
        _check_concatenations([header.dataset for header in headers])
        check_one_volume([header.dataset for header in headers])
        placement = place([header.dataset for header in headers])
        headers = [headers[i] for i in placement.order]
        check_one_reconstruction([header.dataset for header in headers])
        first = headers[0].dataset
        hu = _hounsfield(headers, placement.places)
    return LoadedSeries(
        volume=Volume(hu=hu, affine=placement.affine, places=placement.places),
        datasets=tuple(header.dataset for header in headers),
        study_uid=str(first.StudyInstanceUID),
        series_uid=str(first.SeriesInstanceUID),
        frame_of_reference_uid=str(first.FrameOfReferenceUID),
        frames=tuple(frame_of(header.dataset) for header in headers),
    )


def _hounsfield(headers: Sequence[_Header], places: NDArray[np.float64] | None) -> NDArray[np.float32]:
    """Return the Hounsfield units of the stack: the images, or an even stack made of images at these places."""
    files = ImageFiles()

    def read(number: int, plane: NDArray[np.float32]) -> None:
        read_hounsfield(files, headers[number].path, headers[number].dataset, plane)

    size = (int(headers[0].dataset.Rows), int(headers[0].dataset.Columns))
    if places is not None:
        return even_stack(places, size, read)
    hu = np.empty((len(headers), *size), np.float32)
    for number, plane in enumerate(hu):
        read(number, plane)
    return hu


def _read_headers(paths: Sequence[Path]) -> list[_Header]:
    headers: list[_Header] = []
    problems: list[tuple[str, str]] = []
    for number, path in enumerate(paths, start=1):
        try:
            headers.extend(_headers_of(path))
        except DAMAGE as error:
            why = str(error) if isinstance(error, _MissingAttributeError) else "not a DICOM object"
            problems.append((_name_of(path, number, len(paths)), why))
    series_uid = str(headers[0].dataset.SeriesInstanceUID) if headers else "unknown"
    if problems:
        raise UnreadableFile(series_uid, *problems[0])
    if not headers:
        raise UnreadableFile(series_uid, "the series", "no file")
    return headers


class _MissingAttributeError(ValueError):
    """A required attribute is missing."""


def _headers_of(path: Path) -> list[_Header]:
    """Return the header of each slice of a file."""
    with path.open("rb") as file:
        dataset = dcmread(file, stop_before_pixels=True)
        bytes_left = path.stat().st_size - file.tell()
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    uids = {keyword: dataset.get(keyword) for keyword in REQUIRED_UIDS} | {"TransferSyntaxUID": syntax}
    for keyword, uid in uids.items():
        if not uid or not isinstance(uid, str):
            raise _MissingAttributeError(f"{keyword} is missing")
    has_pixels = bytes_left > 0 or syntax == DeflatedExplicitVRLittleEndian
    try:
        slices = frame_headers(dataset)
    except FramesNotDescribed as error:
        raise UndescribedFrames(str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID), str(error)) from None
    for header in slices:
        for keyword in USED_KEYWORDS:
            header.get(keyword)  # pydicom parses values on access: errors are raised here
    return [_Header(path=path, dataset=header, has_pixels=has_pixels) for header in slices]


def _name_of(path: Path, number: int, files: int) -> str:
    """Return the UID in the file name, or the file's number: other file names may contain patient data."""
    stem = UID(path.stem)
    return f"instance {stem}" if "." in stem and stem.is_valid else f"file {number} of {files}"


def _check_kind(headers: Sequence[_Header]) -> None:
    for header in headers:
        ds = header.dataset
        uids = (str(ds.SeriesInstanceUID), frame_of(ds).name)
        if ds.SOPClassUID not in CT_IMAGES:
            raise NotCt(*uids, f"its SOP class is {UID(ds.SOPClassUID).name}")
        if not header.has_pixels:
            raise TruncatedInstance(*uids, "the file ends before its pixel data begins")
        _check_image(ds, uids)
        check_rescale(ds)


def _check_image(ds: Dataset, uids: tuple[str, str]) -> None:
    if ds.get("Modality") != "CT":
        raise NotCt(*uids, "its Modality is not CT")
    check_image_type(ds)
    if (ds.get("NumberOfFrames") or 1) != 1:
        raise UndescribedFrames(*uids, "NumberOfFrames is not 1, and the SOP class is CT Image Storage")
    if (ds.get("SamplesPerPixel") or 1) != 1:
        raise NotCt(*uids, "SamplesPerPixel is not 1")


def _check_one_series(headers: Sequence[_Header]) -> None:
    series_uid = str(headers[0].dataset.SeriesInstanceUID)
    for keyword in SINGLE_VALUED:
        values = {str(header.dataset.get(keyword) or "") for header in headers}
        if "" in values:  # only FrameOfReferenceUID, the others were checked before
            without_value = next(header.dataset for header in headers if not header.dataset.get(keyword))
            raise MissingGeometry(series_uid, frame_of(without_value).name, f"{keyword} is missing")
        if len(values) > 1:
            raise MixedSeries(series_uid, keyword, len(values))
    counts = Counter(uid for _, uid in {(header.path, str(header.dataset.SOPInstanceUID)) for header in headers})
    uid, files = counts.most_common(1)[0]
    if files > 1:
        raise DuplicateInstances(series_uid, uid, files)


def _check_concatenations(datasets: Sequence[Dataset]) -> None:
    """Raise IncompleteConcatenation if an image was split into instances, and not all of them are here."""
    parts: dict[tuple[str, int], set[str]] = defaultdict(set)
    for ds in datasets:
        if total := ds.get("InConcatenationTotalNumber"):
            parts[str(ds.get("ConcatenationUID")), int(total)].add(str(ds.SOPInstanceUID))
    for (uid, total), present in parts.items():
        if len(present) < total:
            raise IncompleteConcatenation(str(datasets[0].SeriesInstanceUID), uid, len(present), total)
