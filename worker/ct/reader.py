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
from pydicom.dataset import Dataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from dicom_node.dicom_file import DAMAGE, read_file
from dicom_node.errors import UnreadableInstance
from dicom_node.frame_headers import FramesNotDescribed, frame_headers
from dicom_node.identifiers import CT_IMAGES
from models.volume import Volume
from worker.ct.elements import check_pixel_description, remove_invalid, remove_unneeded, require_uids
from worker.ct.frame_reference import frame_of
from worker.ct.frame_size import MOST_VOXELS
from worker.ct.geometry import place
from worker.ct.image_files import ImageFiles
from worker.ct.make_up import check_image_type, check_one_reconstruction, check_one_volume
from worker.ct.one_patient import check_one_patient
from worker.ct.pixels import check_rescale, read_hounsfield
from worker.ct.rejections import (
    DuplicateInstances,
    IncompleteConcatenation,
    MissingGeometry,
    MixedSeries,
    NotCt,
    TooManyVoxels,
    TruncatedInstance,
    UndescribedFrames,
    UnreadableFile,
)
from worker.ct.resampling import even_stack
from worker.frame import Frame

_LONGEST_ELEMENT_HEADER = 12
_LONG, _UNDEFINED = (b"OB", b"OW", b"UN"), 0xFFFFFFFF
"""VRs of pixel data whose length has four bytes, and the length of encapsulated pixel data."""
SINGLE_VALUED = ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "SOPClassUID")


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
    pixel_bytes: int | None
    """Length of its pixel data; None if it is compressed, of several frames, or not known."""


def load(paths: Sequence[Path]) -> LoadedSeries:
    """Return one CT series read from its files, given in any order. Raises a SeriesRejected (see rejections.py)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom quotes values in its warnings, and values may name a patient
        headers = _read_headers(paths)
        _check_kind(headers)
        _check_one_series(headers)
        check_one_patient([*{header.path: header.dataset for header in headers}.values()])
        _check_concatenations([header.dataset for header in headers])
        check_one_volume([header.dataset for header in headers])
        placement = place([header.dataset for header in headers])
        headers = [headers[i] for i in placement.order]
        check_one_reconstruction([header.dataset for header in headers])
        for header in headers:
            check_pixel_description(header.dataset, header.pixel_bytes)
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
    voxels = len(headers) * size[0] * size[1]
    if voxels > MOST_VOXELS:
        raise TooManyVoxels(str(headers[0].dataset.SeriesInstanceUID), voxels, MOST_VOXELS)
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
        except UnreadableInstance as error:
            problems.append((_name_of(path, number, len(paths)), str(error)))
    series_uid = str(headers[0].dataset.SeriesInstanceUID) if headers else "unknown"
    if problems:
        raise UnreadableFile(series_uid, *problems[0])
    if not headers:
        raise UnreadableFile(series_uid, "the series", "no file")
    return headers


def _headers_of(path: Path) -> list[_Header]:
    """Return the header of each slice of a file."""
    with path.open("rb") as file:
        dataset = read_file(file, header_only=True)
        element = file.read(_LONGEST_ELEMENT_HEADER)
    require_uids(dataset)
    remove_unneeded(dataset)
    slices = _slices_of(dataset)
    if dataset.file_meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:  # the file was read to its end
        return [_Header(path=path, dataset=header, has_pixels=True, pixel_bytes=None) for header in slices]
    length = _length(dataset, element) if len(slices) == 1 else None
    return [_Header(path=path, dataset=header, has_pixels=bool(element), pixel_bytes=length) for header in slices]


def _slices_of(dataset: Dataset) -> list[Dataset]:
    try:
        return frame_headers(dataset)
    except FramesNotDescribed as error:
        raise UndescribedFrames(str(dataset.SeriesInstanceUID), str(dataset.SOPInstanceUID), str(error)) from None
    except (*DAMAGE, OSError) as error:  # no file is read here: OSError is a sequence without items
        raise UnreadableInstance(f"its functional groups are damaged ({type(error).__name__})") from None


def _length(dataset: Dataset, element: bytes) -> int | None:
    """Return the length of a value from the bytes before it (PS3.5 7.1.2, 7.1.3); None if it is undefined."""
    is_implicit, is_little = dataset.original_encoding
    is_long = is_implicit or element[4:6] in _LONG
    at = 4 if is_implicit else 8 if is_long else 6
    length = int.from_bytes(element[at : at + (4 if is_long else 2)], "little" if is_little else "big")
    return None if length == _UNDEFINED else length


def _name_of(path: Path, number: int, files: int) -> str:
    """Return the UID in the file name, or the file's number: other file names may contain patient data."""
    stem = UID(path.stem)
    return f"instance {stem}" if "." in stem and stem.is_valid else f"file {number} of {files}"


def _check_kind(headers: Sequence[_Header]) -> None:
    for header in headers:
        ds = header.dataset
        remove_invalid(ds)
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
            fact = f"{keyword} is missing or not a UID"
            raise MissingGeometry(series_uid, frame_of(without_value).name, fact)
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
