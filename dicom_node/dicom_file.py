"""Reads DICOM files, and single elements of them, that may be damaged.

pydicom converts a value when it is asked for it, and raises errors of many classes, whose texts quote the value.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import charset, dcmread
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from dicom_node.bounded_reading import CountedReads, limit_inflating
from dicom_node.errors import UnreadableInstance

DAMAGE = (
    InvalidDicomError, BytesLengthException, RuntimeError, ValueError, AttributeError, LookupError, TypeError, EOFError,
    ArithmeticError, struct.error, zlib.error,
)  # fmt: skip
"""Errors of pydicom and its decoders on damaged bytes. OSError is not among them: it is a failure of the machine."""


_NUMBERS = {"DS", "IS", "FL", "FD"}
_KINDS = (
    {"DS", "IS"}, {"IS", "US", "SS", "UL", "SL", "UV", "SV"}, {"FL", "FD"}, {"OB", "OW"},
    {"AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"},
)  # fmt: skip
"""VRs whose values have the same form: software that writes the wrong one of them means what it writes."""


def read_file(
    source: Path | BinaryIO, *, header_only: bool = False, keywords: Sequence[str] | None = None
) -> FileDataset:
    """Return the data set of a file; `keywords` limits it to these elements. Raises UnreadableInstance and OSError.

    A data set that exceeds a limit of `bounded_reading` counts as damaged.
    """
    limit_inflating()
    try:
        with _opened(source) as stream:
            dataset = dcmread(
                CountedReads(stream),
                stop_before_pixels=header_only,
                specific_tags=None if keywords is None else [*keywords],
            )
    except InvalidDicomError:
        raise UnreadableInstance("not a DICOM object") from None
    except DAMAGE as error:
        raise _damaged(error) from None
    except OSError as error:
        if error.errno is None:  # pydicom's own, of a sequence without items
            raise _damaged(error) from None
        raise
    dataset.buffer = None  # the stream
    return dataset


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open a file; a stream is used as it is, and stays open."""
    if isinstance(source, Path):
        with source.open("rb") as file:
            yield file
    else:
        yield source


def value_of(dataset: Dataset, keyword: str) -> Any:  # noqa: ANN401 - of any VR
    """Return the value of an element; None if it is absent, empty, or not valid for its VR (a thickness of "5 mm")."""
    element = element_of(dataset, _tag_of(keyword))
    return None if element is None or _is_empty(element) else element.value


def texts_of(ds: Dataset, keyword: str) -> tuple[str, ...]:
    """Return the values of an element as texts; empty if it is absent or not valid for its VR."""
    value = value_of(ds, keyword)
    if value is None:
        return ()
    values = [value] if isinstance(value, str | int | float) else value
    return tuple(str(one).strip() for one in values)


def number_of(ds: Dataset) -> int | None:
    """Return the Instance Number; None if it is absent or not valid."""
    (text, *_) = texts_of(ds, "InstanceNumber") or ("",)
    return int(text) if text.removeprefix("-").isdecimal() else None


def element_of(dataset: Dataset, tag: BaseTag) -> DataElement | None:
    """Return an element; None if it is absent, or not valid for its VR or for the VR of its tag."""
    try:
        element: DataElement | None = dataset.get(tag)
        is_valid = element is None or (
            _is_of_its_kind(element.tag, element.VR) and (_is_empty(element) or _has_numbers(element))
        )
    except (*DAMAGE, OSError):  # nothing is read from a file here: OSError is a sequence without items
        return None
    return element if is_valid else None


@cache
def _tag_of(keyword: str) -> BaseTag:
    return Tag(tag_for_keyword(keyword) or 0)


def _is_empty(element: DataElement) -> bool:
    """Whether it has no value, as `DataElement.is_empty`, which takes ten times as long."""
    value = element.value
    return value is None or (element.VR != "SQ" and hasattr(value, "__len__") and len(value) == 0)


@cache
def _is_of_its_kind(tag: BaseTag, vr: str) -> bool:
    """Whether the VR is that of PS3.6, or one whose values have the same form; private elements have any."""
    if not dictionary_has_tag(tag):
        return True
    allowed = set(dictionary_VR(tag).split(" or "))
    return vr in allowed or any(vr in kind and allowed & kind for kind in _KINDS)


def _has_numbers(element: DataElement) -> bool:
    """Whether the values of a number's VR are finite: pydicom may return a text as it is."""
    if element.VR not in _NUMBERS:
        return True
    values = element.value if isinstance(element.value, MultiValue | list) else [element.value]
    return all(math.isfinite(float(value)) for value in values)


def _damaged(error: Exception) -> UnreadableInstance:
    return UnreadableInstance(f"its data set is damaged ({type(error).__name__})")


class _Encodings(dict[str, str]):
    """pydicom's encodings by the terms of Specific Character Set (0008,0005), which may hold NUL bytes."""

    def __missing__(self, term: str) -> str:
        if "\0" in term:
            return self.get(term.replace("\0", "").strip(), charset.default_encoding)
        raise KeyError(term)  # pydicom then corrects spelling


def accept_nul_in_character_sets() -> None:
    """Let pydicom read a Specific Character Set that is padded with NUL bytes, or begins with them (pydicom#2338)."""
    if not isinstance(charset.python_encoding, _Encodings):
        charset.python_encoding = _Encodings(charset.python_encoding)
