"""How far the tumour has spread: lesions by lobe and side, burden, distances. Measures no single lesion.

A lesion counts, with its whole volume, for the lobe of most of its voxels: a fissure is not known well enough to divide
one. So the burdens of the lobes add up to the burden.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import pdist

from models.lungs.lungs import Lobe, Lungs
from worker.lesions.location import LesionLocation
from worker.staging.t_descriptor import LocatedLesion, TProposal, propose_t

Array = NDArray[np.float64]


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
class Extent:
    """All lesions of one scan together.

    by_lobe: every lobe, also the empty ones, in the order of Lobe; empty where the lungs were not found.
    """

    lesions: int
    lesions_right: int | None
    """None where the lungs were not found: which side is which is not known."""
    lesions_left: int | None
    burden_ml: float
    lungs_ml: float | None
    burden_share: float | None
    """Of the lungs' volume, 0 to 1."""
    largest_distance_mm: float
    """Between the centres of two lesions; 0 for fewer than two."""
    dispersion_mm: float
    """Root mean square distance of the lesions' centres from the burden's centre, each weighted by its volume."""
    satellites: int | None
    """Lesions in the lobe of the largest one by volume, besides it; None where the lungs were not found."""
    by_lobe: tuple[LobeBurden, ...]
    proposal: TProposal | None
    """None when there is no lesion; by size alone where the lungs were not found."""


def extent_of(findings: Sequence[LocatedLesion], lungs: Lungs | None) -> Extent:
    """Return the spread of all lesions of one scan; without lungs, what can be said without them."""
    volumes_ml = np.array([finding.measurement.volume_ml for finding in findings])
    centres_mm = np.array([finding.lesion.centroid_mm for finding in findings]).reshape(-1, 3)
    places = [finding.place for finding in findings if finding.place is not None]
    are_placed = lungs is not None and len(places) == len(findings)
    right = sum(place.lobe.is_right for place in places)
    burden_ml = float(volumes_ml.sum())
    lungs_ml = None if lungs is None else sum(lungs.volume_ml(lobe) for lobe in Lobe)
    return Extent(
        lesions=len(findings),
        lesions_right=right if are_placed else None,
        lesions_left=len(places) - right if are_placed else None,
        burden_ml=round(burden_ml, 4),
        lungs_ml=None if lungs_ml is None else round(lungs_ml, 1),
        burden_share=None if lungs_ml is None else _share(burden_ml, lungs_ml),
        largest_distance_mm=round(float(pdist(centres_mm).max()), 1) if len(findings) > 1 else 0.0,
        dispersion_mm=_dispersion_mm(centres_mm, volumes_ml),
        satellites=_satellites(places, volumes_ml) if are_placed else None,
        by_lobe=() if lungs is None else tuple(_lobe_burden(lobe, findings, lungs) for lobe in Lobe),
        proposal=propose_t(findings),
    )


def _dispersion_mm(centres_mm: Array, volumes_ml: Array) -> float:
    if len(centres_mm) < 2 or not volumes_ml.any():
        return 0.0
    centre_mm = np.average(centres_mm, axis=0, weights=volumes_ml)
    squares = ((centres_mm - centre_mm) ** 2).sum(axis=1)
    return round(math.sqrt(float(np.average(squares, weights=volumes_ml))), 1)


def _satellites(places: Sequence[LesionLocation], volumes_ml: Array) -> int:
    if not places:
        return 0
    lobe = places[int(volumes_ml.argmax())].lobe
    return sum(place.lobe is lobe for place in places) - 1


def _lobe_burden(lobe: Lobe, findings: Sequence[LocatedLesion], lungs: Lungs) -> LobeBurden:
    volumes_ml = [f.measurement.volume_ml for f in findings if f.place is not None and f.place.lobe is lobe]
    lobe_ml = lungs.volume_ml(lobe)
    return LobeBurden(
        lobe=lobe,
        lesions=len(volumes_ml),
        burden_ml=round(sum(volumes_ml), 4),
        lobe_ml=round(lobe_ml, 1),
        involvement=_share(sum(volumes_ml), lobe_ml),
    )


def _share(part_ml: float, whole_ml: float) -> float:
    """Return the share, at most 1: a tumour may be larger than what is left of its lobe; 0 of nothing."""
    return round(min(1.0, part_ml / whole_ml), 6) if whole_ml else 0.0
