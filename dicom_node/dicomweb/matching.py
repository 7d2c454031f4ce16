"""Matching of QIDO-RS (PS3.18 8.3.4, PS3.4 C.2.2.2): single value, list of UIDs, wildcard, range, sequence."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydicom import DataElement, Dataset
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag

_RANGES = ("DA", "TM", "DT")
_NUMBERS = ("IS", "US", "UL", "SS", "SL")


def matches(dataset: Dataset, path: Sequence[BaseTag], wanted: str) -> bool:
    """Return whether an attribute, or the attribute of an item at the end of this path, has the wanted value.

    An empty wanted value matches everything (universal matching).
    """
    if not wanted:
        return True
    if path[0] not in dataset:
        return False
    element = dataset[path[0]]
    if len(path) > 1:
        return element.VR == "SQ" and any(matches(item, path[1:], wanted) for item in element.value)
    return any(_is_match(value, element.VR, wanted) for value in _values(element))


def _values(element: DataElement) -> list[str]:
    if element.VR == "SQ" or element.is_empty:
        return []
    values = element.value if isinstance(element.value, MultiValue) else [element.value]
    return [str(value).strip() for value in values]


def _is_match(value: str, vr: str, wanted: str) -> bool:
    if vr == "UI":
        return value in re.split(r"[,\\]", wanted)
    if vr in _RANGES:
        return _is_in_range(value, wanted)
    if vr in _NUMBERS:
        return wanted.isdigit() and value.isdigit() and int(wanted) == int(value)
    # PS3.4 C.2.2.2.1: names may be matched without regard to case.
    flags = re.IGNORECASE if vr == "PN" else 0
    return re.fullmatch(_expression(wanted), value.rstrip("^") if vr == "PN" else value, flags) is not None


def _is_in_range(value: str, wanted: str) -> bool:
    first, is_range, last = wanted.partition("-")
    last = last if is_range else first
    # A time of fewer digits stands for the whole hour or minute: 10 includes 1015.
    return first <= value and (not last or value[: len(last)] <= last)


def _expression(wanted: str) -> str:
    """Return the regular expression of a value with the wildcards * and ?."""
    return "".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in wanted)
