"""The query parameters of QIDO-RS (PS3.18 8.3.4)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.datadict import dictionary_has_tag, dictionary_VR, tag_for_keyword
from pydicom.tag import BaseTag, Tag

MOST_ANSWERS = 1000
"""The answers of one response; the others are requested with `offset`."""


class InvalidQuery(Exception):  # noqa: N818 - the request is to be corrected
    """A query parameter is unknown or has a value that is not allowed; the message does not quote the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A search: the wanted value of each attribute, and which of the answers are returned."""

    keys: tuple[tuple[tuple[BaseTag, ...], str], ...]
    """Path of the attribute (with the sequences that contain it) and wanted value."""
    limit: int = MOST_ANSWERS
    offset: int = 0
    is_fuzzy: bool = False
    """Whether fuzzy matching of names was requested, which is not supported."""


def read_query(parameters: Iterable[tuple[str, str]]) -> Query:
    """Return the query of these parameters. Raises InvalidQuery.

    `includefield` changes nothing: every attribute that is known is returned.
    """
    keys, numbers, is_fuzzy = [], {"limit": MOST_ANSWERS, "offset": 0}, False
    for name, value in parameters:
        if name in numbers:
            numbers[name] = _number(name, value)
        elif name == "fuzzymatching":
            is_fuzzy = value == "true"
        elif name != "includefield":
            keys.append((_path(name), value.strip()))
    limit = min(numbers["limit"], MOST_ANSWERS)
    return Query(keys=tuple(keys), limit=limit, offset=numbers["offset"], is_fuzzy=is_fuzzy)


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise InvalidQuery(f"{name} is not a number")
    return int(value)


def _path(name: str) -> tuple[BaseTag, ...]:
    """Return the tags of `Keyword`, `ggggeeee`, or several of them joined by dots: items of sequences."""
    tags = tuple(_tag(part) for part in name.split("."))
    if any(dictionary_VR(tag) != "SQ" for tag in tags[:-1]):
        raise InvalidQuery("a query parameter has a dot after an attribute that is no sequence")
    return tags


def _tag(text: str) -> BaseTag:
    number = int(text, 16) if re.fullmatch(r"[0-9A-Fa-f]{8}", text) else tag_for_keyword(text or "?")
    if number is None or not dictionary_has_tag(number):
        raise InvalidQuery("a query parameter is neither an attribute nor limit, offset, includefield, fuzzymatching")
    return Tag(number)
