"""Reads DICOM files, and single elements of them, that may be damaged.

pydicom converts a value when it is asked for it, and raises errors of many classes, whose texts quote the value.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pydicom import charset, dcmread
from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.tag import Tag

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
    """Return the data set of a file; `keywords` limits it to these elements. Raises UnreadableInstance and OSError."""
    try:
        return dcmread(source, stop_before_pixels=header_only, specific_tags=None if keywords is None else [*keywords])
    except InvalidDicomError:
        raise UnreadableInstance("not a DICOM object") from None
    except DAMAGE as error:
        raise _damaged(error) from None
    except OSError as error:
        if error.errno is None:  # pydicom's own, of a sequence without items
            raise _damaged(error) from None
        raise


def value_of(dataset: Dataset, keyword: str) -> Any:  # noqa: ANN401 - of any VR
    """Return the value of an element; None if it is absent, empty, or not valid for its VR (a thickness of "5 mm")."""
    element = element_of(dataset, tag_for_keyword(keyword) or 0)
    return None if element is None or element.is_empty else element.value


def element_of(dataset: Dataset, tag: int) -> DataElement | None:
    """Return an element; None if it is absent, or not valid for its VR or for the VR of its tag."""
    try:
        element: DataElement | None = dataset.get(Tag(tag))
        is_valid = element is None or (_is_of_its_kind(element) and (element.is_empty or _has_numbers(element)))
    except (*DAMAGE, OSError):  # nothing is read from a file here: OSError is a sequence without items
        return None
    return element if is_valid else None


def _is_of_its_kind(element: DataElement) -> bool:
    """Whether the VR is that of PS3.6, or one whose values have the same form; private elements have any."""
    if not dictionary_has_tag(element.tag):
        return True
    allowed = set(dictionary_VR(element.tag).split(" or "))
    return element.VR in allowed or any(element.VR in kind and allowed & kind for kind in _KINDS)


def _has_numbers(element: DataElement) -> bool:
    """Whether the values of a number's VR are finite: pydicom may return a text as it is."""
    if element.VR not in _NUMBERS:
        return True
    values = element.value if element.VM > 1 else [element.value]
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
