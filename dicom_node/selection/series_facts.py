"""What the headers of a received series tell of it, as far as the selection needs it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydicom.dataset import Dataset

from dicom_node.dicom_file import DAMAGE, number_of, read_file, texts_of
from dicom_node.errors import UnreadableInstance
from dicom_node.frame_headers import FUNCTIONAL_GROUPS, frame_headers
from dicom_node.identifiers import CT_IMAGES
from dicom_node.selection.image_kind import TYPES
from dicom_node.selection.missing_slices import missing_slices

TEXTS = ("StudyDescription", "SeriesDescription", "ProtocolName", "BodyPartExamined", "ImageComments")
_KEYWORDS = (
    "SOPClassUID", "Modality", *TYPES, "Rows", "Columns", "PixelSpacing", "ImagePositionPatient",
    "ImageOrientationPatient", "InstanceNumber", "ConvolutionKernel", "ContrastBolusAgent", *TEXTS, *FUNCTIONAL_GROUPS,
)  # fmt: skip

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFacts:
    """A series by its headers; a value that most of them lack is None or empty.

    tilt_deg: angle between the slices' normal and the patient's long axis. coverage_mm: from the first to the last
    slice along the normal. spacing_mm: coverage over gaps. field_mm: the longer side of a slice.
    """

    slices: int
    is_ct: bool
    image_type: tuple[str, ...]
    """Of most slices, with the other elements of TYPES."""
    tilt_deg: float | None
    coverage_mm: float | None
    spacing_mm: float | None
    gaps: int
    """Places between slices where others are missing (`missing_slices`)."""
    field_mm: float | None
    kernel: str
    has_contrast: bool
    text: str = field(repr=False)
    """Descriptions, which may hold patient data."""
    sample: Dataset = field(repr=False)
    """One header, for rules of the configuration; it holds patient data."""


def read_facts(paths: Iterable[Path], extra: Iterable[str] = ()) -> SeriesFacts:
    """Return the facts of a series, read from its files; unreadable ones are left out (the worker reports them).

    extra: keywords of further elements that `sample` shall hold.
    """
    return facts_of(list(_headers(paths, [*_KEYWORDS, *extra])))


def facts_of(headers: list[Dataset]) -> SeriesFacts:
    """Return the facts of the headers of a series, at least one of which should be readable."""
    sample = headers[len(headers) // 2] if headers else Dataset()
    normal = _normal(_numbers(sample, "ImageOrientationPatient", 6))
    heights = {} if normal is None else _numbers_by_height(headers, normal)
    coverage_mm = max(heights) - min(heights) if len(heights) > 1 else None
    pixel = _numbers(sample, "PixelSpacing", 2)
    sides = [_integer(sample, "Rows"), _integer(sample, "Columns")]
    return SeriesFacts(
        slices=len(headers),
        is_ct=sample.get("SOPClassUID") in CT_IMAGES and texts_of(sample, "Modality") == ("CT",),
        image_type=_most([tuple(text for keyword in TYPES for text in texts_of(ds, keyword)) for ds in headers]),
        tilt_deg=None if normal is None else math.degrees(math.acos(min(1.0, abs(normal[2])))),
        coverage_mm=coverage_mm,
        spacing_mm=None if coverage_mm is None else coverage_mm / (len(heights) - 1),
        gaps=sum(missing_slices(sorted(heights), [heights[height] for height in sorted(heights)])),
        field_mm=None if pixel is None else max(n * mm for n, mm in zip(sides, pixel, strict=True)),
        kernel=" ".join(texts_of(sample, "ConvolutionKernel")),
        has_contrast=bool("".join(texts_of(sample, "ContrastBolusAgent"))),
        text=" ".join(text for keyword in TEXTS for text in texts_of(sample, keyword)),
        sample=sample,
    )


def _headers(paths: Iterable[Path], keywords: list[str]) -> Iterator[Dataset]:
    for path in paths:
        try:
            yield from frame_headers(read_file(path, header_only=True, keywords=keywords))
        except (UnreadableInstance, *DAMAGE, OSError):
            continue


def _numbers(ds: Dataset, keyword: str, count: int) -> list[float] | None:
    try:
        values = [float(text) for text in texts_of(ds, keyword)]
    except ValueError:
        return None
    return values if len(values) == count and all(map(math.isfinite, values)) else None


def _integer(ds: Dataset, keyword: str) -> int:
    (text, *_) = texts_of(ds, keyword) or ("",)
    return int(text) if text.isdigit() else 0


def _normal(cosines: list[float] | None) -> Vector | None:
    """Return the unit normal of the slices; None if the cosines are missing or useless."""
    if cosines is None:
        return None
    a, b = cosines[:3], cosines[3:]
    normal = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    length = math.hypot(*normal)
    return None if length == 0 else (normal[0] / length, normal[1] / length, normal[2] / length)


def _numbers_by_height(headers: Iterable[Dataset], normal: Vector) -> dict[float, int | None]:
    """Return the Instance Number of the slice at each height along the normal, in mm."""
    found = {_height(ds, normal): number_of(ds) for ds in headers}
    return {height: number for height, number in found.items() if height is not None}


def _height(ds: Dataset, normal: Vector) -> float | None:
    position = _numbers(ds, "ImagePositionPatient", 3)
    return None if position is None else round(sum(p * n for p, n in zip(position, normal, strict=True)), 2)


def _most(values: list[tuple[str, ...]]) -> tuple[str, ...]:
    return Counter(values).most_common(1)[0][0] if values else ()
