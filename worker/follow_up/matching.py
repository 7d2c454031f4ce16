"""Matching of lesions between an earlier and a later scan by position and volume, in the later scan's coordinates.

The score of a pair is the odds that both are the same lesion against two unrelated lesions:

* Position: the same lesion lies within the registration error and a third of its radius, because its centre moves with
  uneven growth or shrinkage (both normal, on each axis); an unrelated lesion may lie anywhere in the lungs.
* Size: volumes of the same lesion differ by a factor of e (one standard deviation), those of two lesions by e squared.

Pairs are assigned jointly, one to one, to maximise the product of their odds (linear assignment). The confidence of a
pair compares the best assignment with it and the best assignment without it. An unassigned lesion within a lesion of
the other scan has merged into it or split from it; the others are new or have vanished.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import KDTree

ERROR_MM = 6.0
"""Registration error of a lesion's position: one standard deviation on each axis."""
LUNGS_MM3 = 4e6
"""Volume in which an unrelated lesion may lie: the lungs of an adult in breath-hold, 4 l."""
SAME_SIZE, OTHER_SIZE = 1.0, 2.0
"""Standard deviations of ln(later volume / earlier volume) for the same lesion and for two lesions."""
CONFIDENT = 0.9
"""Smallest confidence at which identity is asserted."""
CENTRE_SHARE = 1 / 3
"""Movement of a lesion's centre by its own change, as a share of the radius of the sphere of equal volume."""
MIN_REACH_MM = 2.0

Floats = NDArray[np.float64]


class Event(StrEnum):
    """Event of a lesion between two scans."""

    SAME = "same"
    NEW = "new"
    VANISHED = "vanished"
    MERGED = "merged"
    """Several earlier lesions became one."""
    SPLIT = "split"
    """One earlier lesion became several."""
    RETURNED = "returned"
    """Absent on the previous scan, but known from an older one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionPoints:
    """A lesion as a set of points in the later scan's coordinates.

    points_mm: (n, 3), LPS, the centres of its voxels or an even sample of them.
    """

    key: str
    """Tracking UID of an earlier lesion; any unique name of a later one."""
    points_mm: Floats
    volume_ml: float

    @property
    def centre_mm(self) -> Floats:
        """The mean of the points, (3,)."""
        return np.asarray(self.points_mm.mean(axis=0))

    @property
    def radius_mm(self) -> float:
        """The radius of the sphere of equal volume."""
        return float((3000 * self.volume_ml / (4 * math.pi)) ** (1 / 3))

    @property
    def grain_mm(self) -> float:
        """The radius of the sphere that each point represents."""
        return self.radius_mm / float(len(self.points_mm) ** (1 / 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One event. SAME: one key on each side. MERGED: several earlier, one later. SPLIT: one earlier, several later.

    Several keys are ordered by volume, largest first; the first one has the identity of the single lesion on the other
    side. A lesion that merged and split at once is MERGED, with several keys on both sides.
    """

    event: Event
    prior: tuple[str, ...]
    later: tuple[str, ...]
    confidence: float
    """Posterior of the pair, 0 to 1."""
    is_confident: bool
    """Whether identity is asserted; only then the tracking UID is kept."""


def match(
    prior: Sequence[LesionPoints], later: Sequence[LesionPoints], error_mm: float = ERROR_MM
) -> tuple[Match, ...]:
    """Return the events of all lesions; each key is in exactly one match.

    error_mm: registration error, one standard deviation on each axis.
    """
    log_odds = np.array([[_log_odds(a, b, error_mm) for b in later] for a in prior]).reshape(len(prior), len(later))
    pairs, _ = _assign(log_odds)
    reach_mm = max(MIN_REACH_MM, error_mm / 2)
    rows, columns = [row for row, _ in pairs], [column for _, column in pairs]
    merged = _absorbed(prior, later, columns, rows, reach_mm)
    split = _absorbed(later, prior, rows, columns, reach_mm)
    return (
        *(_matched((a, b), prior, later, log_odds, (merged.get(b, ()), split.get(a, ()))) for a, b in pairs),
        *_single(Event.VANISHED, prior, [*rows, *(i for found in merged.values() for i in found)]),
        *_single(Event.NEW, later, [*columns, *(i for found in split.values() for i in found)]),
    )


def _matched(
    pair: tuple[int, int],
    prior: Sequence[LesionPoints],
    later: Sequence[LesionPoints],
    log_odds: Floats,
    partners: tuple[Sequence[int], Sequence[int]],
) -> Match:
    merged, split = partners
    confidence = _confidence(log_odds, pair, partners)
    return Match(
        event=Event.MERGED if merged else Event.SPLIT if split else Event.SAME,
        prior=_largest_first(prior, (pair[0], *merged)),
        later=_largest_first(later, (pair[1], *split)),
        confidence=round(confidence, 3),
        is_confident=confidence >= CONFIDENT,
    )


def _largest_first(lesions: Sequence[LesionPoints], indices: Sequence[int]) -> tuple[str, ...]:
    return tuple(lesions[index].key for index in sorted(indices, key=lambda index: -lesions[index].volume_ml))


def _confidence(log_odds: Floats, pair: tuple[int, int], partners: tuple[Sequence[int], Sequence[int]]) -> float:
    """Return the posterior of the pair: the best assignment against the best one without it and its partners."""
    without = log_odds.copy()
    row, column = pair
    without[[row, *partners[0]], column] = -np.inf
    without[row, [column, *partners[1]]] = -np.inf
    return 1 / (1 + math.exp(min(_assign(without)[1] - _assign(log_odds)[1], 0.0)))


def _single(event: Event, lesions: Sequence[LesionPoints], matched: Collection[int]) -> list[Match]:
    keys = [lesion.key for index, lesion in enumerate(lesions) if index not in matched]
    sides = [((key,), ()) if event is Event.VANISHED else ((), (key,)) for key in keys]
    return [Match(event=event, prior=a, later=b, confidence=1.0, is_confident=True) for a, b in sides]


def _assign(log_odds: Floats) -> tuple[list[tuple[int, int]], float]:
    """Return the best pairs and the sum of their log odds; pairs with odds below 1 are left out."""
    gain = np.maximum(log_odds, 0.0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    pairs = [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if gain[i, j] > 0]
    return pairs, float(sum(gain[pair] for pair in pairs))


def _log_odds(a: LesionPoints, b: LesionPoints, error_mm: float) -> float:
    sigma_mm = math.hypot(error_mm, CENTRE_SHARE * max(a.radius_mm, b.radius_mm))
    distance = _distance_mm(a, b) / sigma_mm
    place = math.log(LUNGS_MM3 / (math.sqrt(2 * math.pi) * sigma_mm) ** 3) - distance**2 / 2
    ratio = math.log(b.volume_ml / a.volume_ml)
    size = math.log(OTHER_SIZE / SAME_SIZE) - ratio**2 / 2 * (SAME_SIZE**-2 - OTHER_SIZE**-2)
    return place + size


def _distance_mm(a: LesionPoints, b: LesionPoints) -> float:
    """Return the distance of two lesions for matching.

    The distance of their centres, or half of it if one lies within the other: a tumour may grow or shrink to one side.
    """
    centres_mm = float(np.linalg.norm(a.centre_mm - b.centre_mm))
    return min(centres_mm, centres_mm / 2 + min(_outside_mm(a, b), _outside_mm(b, a)))


def _outside_mm(lesion: LesionPoints, of: LesionPoints) -> float:
    """Return the mean distance by which the points of one lesion lie outside of another; 0 if inside."""
    distances = KDTree(of.points_mm).query(lesion.points_mm)[0]
    return float(np.maximum(distances - of.grain_mm, 0.0).mean())


def _absorbed(
    lesions: Sequence[LesionPoints],
    others: Sequence[LesionPoints],
    among: Sequence[int],
    paired: Sequence[int],
    reach_mm: float,
) -> dict[int, tuple[int, ...]]:
    """Return, for each matched lesion of `others`, the unmatched `lesions` within it, largest first."""
    found: dict[int, list[int]] = defaultdict(list)
    for index in sorted(set(range(len(lesions))) - set(paired), key=lambda index: -lesions[index].volume_ml):
        outside = [(_outside_mm(lesions[index], others[other]), other) for other in among]
        if outside and min(outside)[0] <= reach_mm:
            found[min(outside)[1]].append(index)
    return {other: tuple(indices) for other, indices in found.items()}
