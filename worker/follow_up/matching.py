"""Which lesion of an earlier scan is which of a later one: pure geometry in the later scan's space. Knows no images.

A pair is weighed by the odds that both are one lesion against their being two that have nothing to do with each other:

* Place: a lesion is found again within the registration's error, and within a third of its radius, since its outline's
  centre moves as it grows and shrinks unevenly (both normal, on each axis); another one may lie anywhere in the lungs.
* Size: volumes of one lesion differ by a factor of e (one standard deviation), those of two lesions by e squared.

The pairs are chosen together, one to one, so that the product of their odds is the largest (linear assignment). The
confidence of a pair is that of the best choice with it against the best choice without it. What stays alone and lies
within a lesion of the other scan has merged into it, or has split from it; the rest is new or has vanished.
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
"""How far from its expected place a lesion lies after registration: one standard deviation on each axis."""
LUNGS_MM3 = 4e6
"""Where another lesion may lie: the lungs of an adult in breath-hold, 4 l."""
SAME_SIZE, OTHER_SIZE = 1.0, 2.0
"""Standard deviations of ln(later volume / earlier volume)."""
CONFIDENT = 0.9
"""From here on identity is asserted."""
CENTRE_SHARE = 1 / 3
"""How far the centre of a lesion moves by its own change, as a share of the radius of a ball of its volume."""
LEAST_REACH_MM = 2.0

Floats = NDArray[np.float64]


class Event(StrEnum):
    """What became of a lesion between two scans."""

    SAME = "same"
    NEW = "new"
    VANISHED = "vanished"
    MERGED = "merged"
    """Several earlier lesions are one later one."""
    SPLIT = "split"
    """One earlier lesion is several later ones."""
    RETURNED = "returned"
    """Gone on the scan before, but known from an earlier one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A lesion as the matching sees it, in the later scan's space.

    points_mm: (n, 3), LPS, the centres of its voxels or an even sample of them.
    """

    key: str
    """Tracking UID of an earlier lesion; any name of a later one."""
    points_mm: Floats
    volume_ml: float

    @property
    def centre_mm(self) -> Floats:
        """The mean of its points."""
        return np.asarray(self.points_mm.mean(axis=0))

    @property
    def radius_mm(self) -> float:
        """The radius of the ball of its volume."""
        return float((3000 * self.volume_ml / (4 * math.pi)) ** (1 / 3))

    @property
    def grain_mm(self) -> float:
        """The radius of the ball that each of its points stands for."""
        return self.radius_mm / float(len(self.points_mm) ** (1 / 3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One event. SAME: one key on each side. MERGED: several earlier, one later. SPLIT: one earlier, several later.

    Of several the largest is the first: the single one is its continuation, or its origin. A lesion that merged and
    split at once is MERGED, with several keys on both sides.
    """

    event: Event
    earlier: tuple[str, ...]
    later: tuple[str, ...]
    confidence: float
    """0 to 1: how sure it is that these, and no others, belong together."""
    is_confident: bool
    """Whether identity may be asserted: only then does a tracking UID carry over."""


def match(earlier: Sequence[Body], later: Sequence[Body], error_mm: float = ERROR_MM) -> tuple[Match, ...]:
    """Return what became of every lesion; each key stands in one match."""
    log_odds = np.array([[_log_odds(a, b, error_mm) for b in later] for a in earlier]).reshape(len(earlier), len(later))
    pairs, _ = _assign(log_odds)
    reach_mm = max(LEAST_REACH_MM, error_mm / 2)
    rows, columns = [row for row, _ in pairs], [column for _, column in pairs]
    merged = _absorbed(earlier, later, columns, rows, reach_mm)
    split = _absorbed(later, earlier, rows, columns, reach_mm)
    return (
        *(_matched((a, b), earlier, later, log_odds, (merged.get(b, ()), split.get(a, ()))) for a, b in pairs),
        *_single(Event.VANISHED, earlier, [*rows, *(i for found in merged.values() for i in found)]),
        *_single(Event.NEW, later, [*columns, *(i for found in split.values() for i in found)]),
    )


def _matched(
    pair: tuple[int, int],
    earlier: Sequence[Body],
    later: Sequence[Body],
    log_odds: Floats,
    mates: tuple[Sequence[int], Sequence[int]],
) -> Match:
    merged, split = mates
    confidence = _confidence(log_odds, pair, mates)
    return Match(
        event=Event.MERGED if merged else Event.SPLIT if split else Event.SAME,
        earlier=_largest_first(earlier, (pair[0], *merged)),
        later=_largest_first(later, (pair[1], *split)),
        confidence=round(confidence, 3),
        is_confident=confidence >= CONFIDENT,
    )


def _largest_first(bodies: Sequence[Body], indices: Sequence[int]) -> tuple[str, ...]:
    return tuple(bodies[index].key for index in sorted(indices, key=lambda index: -bodies[index].volume_ml))


def _confidence(log_odds: Floats, pair: tuple[int, int], mates: tuple[Sequence[int], Sequence[int]]) -> float:
    """Weigh the best choice against the best one without this pair, in whose place no mate of it may step."""
    without = log_odds.copy()
    row, column = pair
    without[[row, *mates[0]], column] = -np.inf
    without[row, [column, *mates[1]]] = -np.inf
    return 1 / (1 + math.exp(min(_assign(without)[1] - _assign(log_odds)[1], 0.0)))


def _single(event: Event, bodies: Sequence[Body], elsewhere: Collection[int]) -> list[Match]:
    keys = [body.key for index, body in enumerate(bodies) if index not in elsewhere]
    sides = [((key,), ()) if event is Event.VANISHED else ((), (key,)) for key in keys]
    return [Match(event=event, earlier=a, later=b, confidence=1.0, is_confident=True) for a, b in sides]


def _assign(log_odds: Floats) -> tuple[list[tuple[int, int]], float]:
    """Return the best pairs, and the sum of their logarithms; a pair with odds below 1 is none."""
    gain = np.maximum(log_odds, 0.0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    pairs = [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if gain[i, j] > 0]
    return pairs, float(sum(gain[pair] for pair in pairs))


def _log_odds(a: Body, b: Body, error_mm: float) -> float:
    spread_mm = math.hypot(error_mm, CENTRE_SHARE * max(a.radius_mm, b.radius_mm))
    away = _distance_mm(a, b) / spread_mm
    place = math.log(LUNGS_MM3 / (math.sqrt(2 * math.pi) * spread_mm) ** 3) - away**2 / 2
    ratio = math.log(b.volume_ml / a.volume_ml)
    size = math.log(OTHER_SIZE / SAME_SIZE) - ratio**2 / 2 * (SAME_SIZE**-2 - OTHER_SIZE**-2)
    return place + size


def _distance_mm(a: Body, b: Body) -> float:
    """Return how far apart two bodies are, if they are one: a tumour may grow, or shrink, to one side.

    The distance of their centres, or half of it where one lies within the other.
    """
    centres_mm = float(np.linalg.norm(a.centre_mm - b.centre_mm))
    return min(centres_mm, centres_mm / 2 + min(_outside_mm(a, b), _outside_mm(b, a)))


def _outside_mm(body: Body, of: Body) -> float:
    """Return how far the points of one body lie outside of another, on average; 0 within."""
    distances = KDTree(of.points_mm).query(body.points_mm)[0]
    return float(np.maximum(distances - of.grain_mm, 0.0).mean())


def _absorbed(
    bodies: Sequence[Body], others: Sequence[Body], among: Sequence[int], paired: Sequence[int], reach_mm: float
) -> dict[int, tuple[int, ...]]:
    """Return, for each of the others that has a partner, which bodies without one lie within it, the largest first."""
    found: dict[int, list[int]] = defaultdict(list)
    for index in sorted(set(range(len(bodies))) - set(paired), key=lambda index: -bodies[index].volume_ml):
        outside = [(_outside_mm(bodies[index], others[other]), other) for other in among]
        if outside and min(outside)[0] <= reach_mm:
            found[min(outside)[1]].append(index)
    return {other: tuple(indices) for other, indices in found.items()}
