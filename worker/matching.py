"""Which lesion of an earlier scan is which of a later one: pure geometry in the later scan's space. Knows no images."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Event(StrEnum):
    """What became of a lesion between two scans."""

    SAME = "same"
    NEW = "new"
    VANISHED = "vanished"
    MERGED = "merged"
    """Several earlier lesions are one later one."""
    SPLIT = "split"
    """One earlier lesion is several later ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A lesion as the matching sees it, in the later scan's space.

    points_mm: (n, 3), LPS, the centres of its voxels or an even sample of them.
    """

    key: str
    """Tracking UID of an earlier lesion; any name of a later one."""
    points_mm: NDArray[np.float64]
    volume_ml: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One event. SAME: one key on each side. MERGED: several earlier, one later. SPLIT: one earlier, several later."""

    event: Event
    earlier: tuple[str, ...]
    later: tuple[str, ...]
    confidence: float
    """0 to 1: how sure it is that these, and no others, belong together."""
    is_confident: bool
    """Whether identity may be asserted: only then does a tracking UID carry over."""
