"""What the columns of the journal may hold, beyond their types in the database."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeGuard

from sqlalchemy import JSON, Dialect
from sqlalchemy.types import TypeDecorator

from dicom_node.identifiers import is_uid

_KEY = re.compile(r"[0-9a-f]{64}")
_DAY = re.compile(r"([0-9]{8,14})?")


class Json(TypeDecorator[Any]):
    """JSON in which a damaged text does not end the query: it is returned as it is, which no rule below allows."""

    impl = JSON
    cache_ok = True

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """Return the function that decodes a value; None if the driver does."""
        decode = super().result_processor(dialect, coltype)
        if decode is None:
            return None

        def decode_or_keep(value: Any) -> Any:  # noqa: ANN401 - any JSON
            try:
                return decode(value)
            except (ValueError, TypeError, RecursionError):
                return value

        return decode_or_keep


def is_key(value: object) -> TypeGuard[str]:
    """Whether it is the key of a job or of a patient: 64 hexadecimal digits."""
    return isinstance(value, str) and _KEY.fullmatch(value) is not None


def is_key_or_empty(value: object) -> bool:
    """Whether it is 64 hexadecimal digits, or the empty text of a row that is older than its column."""
    return value == "" or is_key(value)


def is_ascii(value: object) -> bool:
    """Whether it is a text that can be hashed with others; a hash that is another one is noticed by the files."""
    return isinstance(value, str) and value.isascii()


def is_day(value: object) -> bool:
    """Whether it is a date, with or without a time (YYYYMMDDHHMMSS), or empty."""
    return isinstance(value, str) and _DAY.fullmatch(value) is not None


def are_uids(value: object) -> bool:
    """Whether it is a list of UIDs."""
    return isinstance(value, list) and all(map(is_uid, value))


def are_pairs(value: object) -> bool:
    """Whether it is a list of pairs of UIDs."""
    return isinstance(value, list) and all(are_uids(pair) and len(pair) == 2 for pair in value)


def are_texts(value: object) -> bool:
    """Whether it is a list of texts."""
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def one_of(*values: str) -> Callable[[object], bool]:
    """Return the rule that allows these values alone."""
    allowed = frozenset(map(str, values))
    return lambda value: value in allowed
