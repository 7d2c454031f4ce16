"""Extent of the disease in one scan: lesions per lobe and side, tumour burden, distances, T descriptor.

A lesion counts with its whole volume for the lobe that contains most of its voxels, because fissures are not accurate
enough to divide a lesion. The burdens of the lobes therefore add up to the total burden.
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
    """Lesions and tumour volume of one lobe."""

    lobe: Lobe
    lesions: int
    burden_ml: float
    lobe_ml: float
    involvement: float
    """Tumour share of the lobe's volume, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Extent:
    """Summary of all lesions of one scan.

    by_lobe: every lobe, including those without a lesion, in the order of Lobe; empty if the lungs were not found.
    """

    lesions: int
    lesions_right: int | None
    """None if the lungs were not found: the side of a lesion is unknown."""
    lesions_left: int | None
    burden_ml: float
    lungs_ml: float | None
    burden_share: float | None
    """Tumour share of the lungs' volume, 0 to 1."""
    largest_distance_mm: float
    """Between the centres of two lesions; 0 for fewer than two lesions."""
    dispersion_mm: float
    """Root mean square distance of the lesions' centres from their common centroid, weighted by volume."""
    satellites: int | None
    """Other lesions in the lobe of the largest lesion by volume; None if the lungs were not found."""
    by_lobe: tuple[LobeBurden, ...]
    proposal: TProposal | None
    """None without a lesion; by size only if the lungs were not found."""


def extent_of(findings: Sequence[LocatedLesion], lungs: Lungs | None) -> Extent:
    """Return the extent of all lesions of one scan; without lungs, fields that require them are None or empty."""
    volumes_ml = np.array([finding.measurement.volume_ml for finding in findings])
    centres_mm = np.array([finding.lesion.centroid_mm for finding in findings]).reshape(-1, 3)
    locations = [finding.location for finding in findings if finding.location is not None]
    are_located = lungs is not None and len(locations) == len(findings)
    right = sum(location.lobe.is_right for location in locations)
    burden_ml = float(volumes_ml.sum())
    lungs_ml = None if lungs is None else sum(lungs.volume_ml(lobe) for lobe in Lobe)
    return Extent(
        lesions=len(findings),
        lesions_right=right if are_located else None,
        lesions_left=len(locations) - right if are_located else None,
        burden_ml=round(burden_ml, 4),
        lungs_ml=None if lungs_ml is None else round(lungs_ml, 1),
        burden_share=None if lungs_ml is None else _share(burden_ml, lungs_ml),
        largest_distance_mm=round(float(pdist(centres_mm).max()), 1) if len(findings) > 1 else 0.0,
        dispersion_mm=_dispersion_mm(centres_mm, volumes_ml),
        satellites=_satellites(locations, volumes_ml) if are_located else None,
        by_lobe=() if lungs is None else tuple(_lobe_burden(lobe, findings, lungs) for lobe in Lobe),
        proposal=propose_t(findings),
    )


def _dispersion_mm(centres_mm: Array, volumes_ml: Array) -> float:
    if len(centres_mm) < 2 or not volumes_ml.any():
        return 0.0
    centre_mm = np.average(centres_mm, axis=0, weights=volumes_ml)
    squares = ((centres_mm - centre_mm) ** 2).sum(axis=1)
    return round(math.sqrt(float(np.average(squares, weights=volumes_ml))), 1)


def _satellites(locations: Sequence[LesionLocation], volumes_ml: Array) -> int:
    if not locations:
        return 0
    lobe = locations[int(volumes_ml.argmax())].lobe
    return sum(location.lobe is lobe for location in locations) - 1


def _lobe_burden(lobe: Lobe, findings: Sequence[LocatedLesion], lungs: Lungs) -> LobeBurden:
    volumes_ml = [f.measurement.volume_ml for f in findings if f.location is not None and f.location.lobe is lobe]
    lobe_ml = lungs.volume_ml(lobe)
    return LobeBurden(
        lobe=lobe,
        lesions=len(volumes_ml),
        burden_ml=round(sum(volumes_ml), 4),
        lobe_ml=round(lobe_ml, 1),
        involvement=_share(sum(volumes_ml), lobe_ml),
    )


def _share(part_ml: float, whole_ml: float) -> float:
    """Return part / whole, at most 1 (a tumour may be larger than the rest of its lobe); 0 if the whole is 0."""
    return round(min(1.0, part_ml / whole_ml), 6) if whole_ml else 0.0
