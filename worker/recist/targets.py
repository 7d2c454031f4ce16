"""RECIST 1.1 at baseline, and the sum of diameters at any date. Judges no response.

Source: Eisenhauer et al., Eur J Cancer 2009;45:228.

* Measurable (3.1.1, appendix II): a long axis of at least 10 mm on slices up to 5 mm, else of twice their thickness.
  Lymph nodes are out of scope: what is marked are lung tumours.
* Targets (4.2): up to five, two per organ, by long axis, and representative of all organs: the largest of each organ
  comes before the second of any. Both lungs are one organ (recist.eortc.org, "paired organs"). Among equals the larger
  volume, then the order of the tracking UIDs.
* Sum (4.2, 4.3.2): long axes, to a tenth of a millimetre, so that the arithmetic shown is the arithmetic done.
  Vanished: 0. Too small to measure: 5 mm, unless a length is given. Split: the parts' long axes. Merged: one long axis
  for all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from worker.recist.lesion_graph import LesionGraph
from worker.recist.timepoints import State, TimePoint, TrackedLesion

MOST_TARGETS, MOST_PER_ORGAN = 5, 2
MEASURABLE_MM = 10.0
THICK_SLICE_MM = 5.0
TOO_SMALL_MM = 5.0
TOO_SMALL_ML = math.pi / 6 * TOO_SMALL_MM**3 / 1000
"""A ball of 5 mm, to go with the length; no part of RECIST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSum:
    """The targets of one time point together."""

    sum_mm: float
    """Of those that could be measured."""
    sum_ml: float | None
    """None where a volume is missing."""
    is_complete: bool
    """Every target could be measured, or is gone."""
    text: str
    """The addends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What the course is compared with."""

    date: date
    targets: tuple[str, ...]
    """Tracking UIDs, the largest first."""
    non_targets: tuple[str, ...]
    """Tracking UIDs of all other lesions of the baseline."""
    total: TargetSum
    basis: tuple[str, ...]
    """For every lesion, why it is a target or is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Addend:
    length_mm: float | None
    volume_ml: float | None
    text: str


def baseline_of(lesion_graph: LesionGraph) -> Baseline:
    """Choose the targets of the first time point."""
    point = lesion_graph.point
    there = [each for each in point.lesions if each.state not in (State.VANISHED, State.MERGED)]
    targets = choose_targets(point)
    uids = tuple(lesion.tracking_uid for lesion in targets)
    return Baseline(
        date=point.date,
        targets=uids,
        non_targets=tuple(each.tracking_uid for each in there if each.tracking_uid not in uids),
        total=target_sum(lesion_graph, uids),
        basis=tuple(_reason(each, each in targets, point.slice_mm) for each in there),
    )


def choose_targets(point: TimePoint) -> tuple[TrackedLesion, ...]:
    """Return the targets of a time point, the largest first."""
    measurable = sorted((each for each in point.lesions if _is_measurable(each, point.slice_mm)), key=_size_order)
    ranked = [(_rank(lesion, measurable), number) for number, lesion in enumerate(measurable)]
    chosen = sorted(place for place in ranked if place[0] < MOST_PER_ORGAN)[:MOST_TARGETS]
    return tuple(measurable[number] for number in sorted(number for _, number in chosen))


def smallest_measurable_mm(slice_mm: float) -> float:
    """Return the least long axis that is measurable on slices of this thickness."""
    return MEASURABLE_MM if slice_mm <= THICK_SLICE_MM else 2 * slice_mm


def target_sum(lesion_graph: LesionGraph, targets: Sequence[str]) -> TargetSum:
    """Add up the long axes and volumes of all that carries the targets, each lesion once."""
    addends = [_addend(uid, lesion_graph.lesion(uid)) for uid in lesion_graph.measured(targets)]
    lengths = [addend.length_mm for addend in addends if addend.length_mm is not None]
    volumes = [addend.volume_ml for addend in addends if addend.volume_ml is not None]
    is_whole = all(lesion_graph.measured([target]) for target in targets)
    terms = [addend.text for addend in addends] + list(_mergers(lesion_graph, targets))
    return TargetSum(
        sum_mm=round(sum(lengths), 1),
        sum_ml=round(sum(volumes), 4) if is_whole and len(volumes) == len(addends) else None,
        is_complete=is_whole and len(lengths) == len(addends),
        text=" + ".join(terms),
    )


def _is_measurable(lesion: TrackedLesion, slice_mm: float) -> bool:
    if lesion.state is not State.PRESENT or lesion.long_axis_mm is None:
        return False
    return round(lesion.long_axis_mm, 1) >= round(smallest_measurable_mm(slice_mm), 1)


def _size_order(lesion: TrackedLesion) -> tuple[float, float, str]:
    return -round(lesion.long_axis_mm or 0.0, 1), -(lesion.volume_ml or 0.0), lesion.tracking_uid


def _rank(lesion: TrackedLesion, ordered: Sequence[TrackedLesion]) -> int:
    """Return how many lesions of the same organ come before it."""
    return [other.tracking_uid for other in ordered if other.organ == lesion.organ].index(lesion.tracking_uid)


def _reason(lesion: TrackedLesion, is_target: bool, slice_mm: float) -> str:
    if lesion.state is not State.PRESENT or lesion.long_axis_mm is None:
        return f"{lesion.label} {lesion.state}: not a target"
    text = f"{lesion.label} {lesion.long_axis_mm:.1f} mm"
    if is_target:
        return f"{text}: target"
    if _is_measurable(lesion, slice_mm):
        return f"{text}: not a target, others are larger (at most {MOST_PER_ORGAN} per organ, {MOST_TARGETS} in all)"
    limit = f"{smallest_measurable_mm(slice_mm):.1f} mm"
    thick = f", twice the slice thickness of {slice_mm:.1f} mm" if slice_mm > THICK_SLICE_MM else ""
    return f"{text}: not a target, below {limit}{thick}"


def _addend(uid: str, lesion: TrackedLesion | None) -> _Addend:
    if lesion is None:
        return _Addend(length_mm=None, volume_ml=None, text=f"{uid} not evaluable (nothing is said of it)")
    if lesion.state is State.VANISHED:
        return _Addend(length_mm=0.0, volume_ml=0.0, text=f"{lesion.label} 0.0 (vanished)")
    if lesion.state is State.TOO_SMALL:
        return _too_small(lesion)
    if lesion.state is not State.PRESENT or lesion.long_axis_mm is None:
        return _Addend(length_mm=None, volume_ml=None, text=f"{lesion.label} not evaluable")
    length_mm = round(lesion.long_axis_mm, 1)
    return _Addend(length_mm=length_mm, volume_ml=lesion.volume_ml, text=f"{lesion.label} {length_mm:.1f}")


def _too_small(lesion: TrackedLesion) -> _Addend:
    """A length that was given counts, also below 5 mm (4.3.2)."""
    length_mm = TOO_SMALL_MM if lesion.long_axis_mm is None else round(lesion.long_axis_mm, 1)
    volume_ml = TOO_SMALL_ML if lesion.volume_ml is None else lesion.volume_ml
    return _Addend(
        length_mm=length_mm, volume_ml=volume_ml, text=f"{lesion.label} {length_mm:.1f} (too small to measure)"
    )


def _mergers(lesion_graph: LesionGraph, targets: Sequence[str]) -> Iterator[str]:
    for uid in lesion_graph.family(targets):
        if uid in lesion_graph.merged:
            lesion, holder = lesion_graph.lesion(uid), lesion_graph.lesion(lesion_graph.merged[uid])
            yield f"{lesion.label if lesion else uid} (within {holder.label if holder else lesion_graph.merged[uid]})"
