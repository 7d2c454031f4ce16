"""What every reader of a layout returns: cases, which files they are read from, and what is wrong. Reads nothing.

A reader looks at the layout alone (which files belong together, which are missing); pixels are read when a case is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from training.data.volume import Stack

Read = TypeVar("Read")


class DataRefused(ValueError):  # noqa: N818 - the data set is wrong, and whoever keeps it must act
    """Data that cannot be trained on. problems: one line each, with file, fact and limit."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One stack that is to be read.

    files: what it is read from, by the names that messages and the manifest use.
    image: the name of the file that holds the whole image; the same bytes under two patients are refused. "" for none.
    keys: what else may belong to one patient alone, each with what it is.
    recipe: how it is read; a case that was read in another way is read again.
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
class Found:
    """What a layout holds: its cases, what is wrong with it, and what is only worth saying."""

    cases: tuple[Case, ...]
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def attempt(name: str, read: Callable[[], Read], problems: list[str]) -> Read | None:
    """Return what `read` returns; if it is broken, add its facts to the problems under this name and return None."""
    try:
        return read()
    except DataRefused as broken:
        problems.extend(f"{name}: {fact}" for fact in broken.problems)
        return None
