"""The result of every reader: cases, the files that each is read from, and the problems of the layout.

A reader examines only the layout (which files belong together, which are missing); pixels are read with `Case.read`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from training.data.volume import Stack

Read = TypeVar("Read")


class DataRefused(ValueError):  # noqa: N818 - the owner of the data must act
    """Data that cannot be used for training. problems: one line each, with file, fact and limit."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A stack that can be read.

    files: the files that it is read from, by the names used in messages and in the manifest.
    image: the name of the file with the whole image, "" for none; the same bytes for two patients are refused.
    keys: other identifiers that only one patient may have, as (kind, value).
    recipe: how it is read; a case with another recipe is read again.
    read: returns the stack, or raises DataRefused with every problem of its files.
    """

    source: str
    patient: str
    name: str
    files: Mapping[str, Path]
    recipe: str
    read: Callable[[], Stack]
    image: str = ""
    keys: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCases:
    """What a reader found: cases, problems, and notes that do not prevent reading."""

    cases: tuple[Case, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def attempt(name: str, read: Callable[[], Read], problems: list[str]) -> Read | None:
    """Return the result of `read`; on DataRefused add its problems, prefixed by this name, and return None."""
    try:
        return read()
    except DataRefused as broken:
        problems.extend(f"{name}: {fact}" for fact in broken.problems)
        return None
