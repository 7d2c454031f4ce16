"""How far the tumour has spread: lesions by lobe and side, burden, distances. Measures no single lesion."""

from __future__ import annotations

from dataclasses import dataclass

from models.lungs.lungs import Lobe
from worker.staging import TProposal


@dataclass(frozen=True, slots=True, kw_only=True)
class LobeBurden:
    """What one lobe holds."""

    lobe: Lobe
    lesions: int
    burden_ml: float
    lobe_ml: float
    involvement: float
    """Share of the lobe that is tumour, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """All lesions of one scan together.

    by_lobe: every lobe, also the empty ones, in the order of Lobe; empty where the lungs were not found.
    """

    lesions: int
    lesions_right: int
    lesions_left: int
    burden_ml: float
    lungs_ml: float | None
    burden_share: float | None
    """Of the lungs' volume, 0 to 1."""
    largest_distance_mm: float
    """Between the centres of two lesions; 0 for fewer than two."""
    dispersion_mm: float
    """Root mean square distance of the lesions' centres from the burden's centre, each weighted by its volume."""
    satellites: int
    """Lesions in the lobe of the largest one, besides it."""
    by_lobe: tuple[LobeBurden, ...]
    proposal: TProposal | None
    """None when there is no lesion, or the lungs were not found."""
