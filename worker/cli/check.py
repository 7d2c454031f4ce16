"""One check of `lungspread doctor`, and its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dicom_node.errors import NodeError
from dicom_node.loop import where
from models.segmenter import ModelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """Result of one check. hint: what the user can do if it failed."""

    subject: str
    passed: bool
    fact: str
    hint: str = ""


def guarded(subject: str, check: Callable[[], Check]) -> Check:
    """Return the result of a check, whatever happens in it: one part that is broken must not hide the others."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - the boundary of one check
        return Check(subject=subject, passed=False, fact=f"unexpected {where(error)}", hint="please report this fault")


def checked(subject: str, probe: Callable[[], str], hint: str) -> Check:
    """Return the result of a check that passes with a fact, or fails with an error of ours."""
    try:
        return Check(subject=subject, passed=True, fact=probe())
    except (NodeError, ModelError) as error:
        return Check(subject=subject, passed=False, fact=str(error), hint=hint)
