"""Brings an earlier scan's lungs onto a later one's: where does a point of the earlier lie now. Knows no lesion."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
"""(n, 3), LPS millimetres."""


class Method(StrEnum):
    """How two scans were brought together, the best first."""

    DEFORMABLE = "deformable"
    RIGID = "rigid"
    LUNG_BOX = "lung box"
    """The boxes of the lungs alone: a fall-back that is said to be one."""
    NONE = "none"
    """The lungs of one scan are not known: coordinates are taken as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """How well the earlier lungs lie on the later ones."""

    surface_mm: float
    """Mean distance of the two surfaces, both ways."""
    surface_95_mm: float
    smallest_jacobian: float
    """Of the deformation; not above 0 where it folds."""
    largest_jacobian: float


class Mapping(Protocol):
    """Maps points of the earlier scan to the later one."""

    def __call__(self, points_mm: Points) -> Points:
        """Return where the points lie in the later scan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """The way from an earlier scan to a later one."""

    method: Method
    to_later: Mapping
    quality: Quality | None
    """None where there was nothing to measure it by."""
    reason: str | None = None
    """Why it is no better than it is; None for a deformable one."""
