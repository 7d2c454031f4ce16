"""RECIST 1.1 target lesions at baseline, and their sum of diameters at any date.

Source: Eisenhauer et al., Eur J Cancer 2009;45:228.

* Measurable (3.1.1, appendix II): a long axis of at least 10 mm on slices up to 5 mm, else of twice their thickness.
  Lymph nodes are out of scope: only lung tumours are segmented.
* Targets (4.2): up to five, two per organ, by long axis, and representative of all organs: the largest lesion of each
  organ is chosen before the second of any. Both lungs are one organ (recist.eortc.org, "paired organs"). Ties are
  broken by volume, then by tracking UID.
* Sum (4.2, 4.3.2): long axes rounded to a tenth of a millimetre, so that the sum is that of the numbers shown.
  Vanished: 0. Too small to measure: 5 mm, unless a length is given. Split: the long axes of all parts. Merged: one long
  axis for all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from worker.recist.lesion_graph import LesionGraph
from worker.recist.timepoints import State, TimePoint, TrackedLesion

MAX_TARGETS, MAX_PER_ORGAN = 5, 2
MEASURABLE_MM = 10.0
THICK_SLICE_MM = 5.0
TOO_SMALL_MM = 5.0
TOO_SMALL_ML = math.pi / 6 * TOO_SMALL_MM**3 / 1000
"""Volume of a sphere of 5 mm, corresponding to TOO_SMALL_MM; not part of RECIST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSum:
    """Sum of diameters and volumes of the targets at one time point."""

    sum_mm: float
    """Of the targets that could be measured."""
    sum_ml: float | None
    """None if a volume is missing."""
    is_complete: bool
    """True if every target was measured or has vanished."""
    text: str
    """The terms of the sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Baseline time point with its target and non-target lesions."""

    date: date
    targets: tuple[str, ...]
    """Tracking UIDs, largest lesion first."""
    non_targets: tuple[str, ...]
    """Tracking UIDs of all other lesions of the baseline."""
    total: TargetSum
    basis: tuple[str, ...]
    """For every lesion, why it is or is not a target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Term:
    length_mm: float | None
    volume_ml: float | None
    text: str


def baseline_of(lesion_graph: LesionGraph) -> Baseline:
    """Return the baseline with the targets of the first time point."""
    point = lesion_graph.point
    present = [each for each in point.lesions if each.state not in (State.VANISHED, State.MERGED)]
    targets = choose_targets(point)
    uids = tuple(lesion.tracking_uid for lesion in targets)
    return Baseline(
        date=point.date,
        targets=uids,
        non_targets=tuple(each.tracking_uid for each in present if each.tracking_uid not in uids),
        total=target_sum(lesion_graph, uids),
        basis=tuple(_reason(each, each in targets, point.slice_mm) for each in present),
    )


def choose_targets(point: TimePoint) -> tuple[TrackedLesion, ...]:
    """Return the target lesions of a time point, largest first."""
    measurable = sorted((each for each in point.lesions if _is_measurable(each, point.slice_mm)), key=_size_order)
    ranked = [(_rank(lesion, measurable), number) for number, lesion in enumerate(measurable)]
    chosen = sorted(place for place in ranked if place[0] < MAX_PER_ORGAN)[:MAX_TARGETS]
    return tuple(measurable[number] for number in sorted(number for _, number in chosen))


def smallest_measurable_mm(slice_mm: float) -> float:
    """Return the smallest measurable long axis in mm on slices of this thickness."""
    return MEASURABLE_MM if slice_mm <= THICK_SLICE_MM else 2 * slice_mm


def target_sum(lesion_graph: LesionGraph, targets: Sequence[str]) -> TargetSum:
    """Return the sum of long axes and volumes of the lesions measured for the targets, each lesion once."""
    terms = [_term(uid, lesion_graph.lesion(uid)) for uid in lesion_graph.measured(targets)]
    lengths = [term.length_mm for term in terms if term.length_mm is not None]
    volumes = [term.volume_ml for term in terms if term.volume_ml is not None]
    are_all_traced = all(lesion_graph.measured([target]) for target in targets)
    texts = [term.text for term in terms] + list(_mergers(lesion_graph, targets))
    return TargetSum(
        sum_mm=round(sum(lengths), 1),
        sum_ml=round(sum(volumes), 4) if are_all_traced and len(volumes) == len(terms) else None,
        is_complete=are_all_traced and len(lengths) == len(terms),
        text=" + ".join(texts),
    )


def _is_measurable(lesion: TrackedLesion, slice_mm: float) -> bool:
    if lesion.state is not State.PRESENT or lesion.long_axis_mm is None:
        return False
    return round(lesion.long_axis_mm, 1) >= round(smallest_measurable_mm(slice_mm), 1)


def _size_order(lesion: TrackedLesion) -> tuple[float, float, str]:
    return -round(lesion.long_axis_mm or 0.0, 1), -(lesion.volume_ml or 0.0), lesion.tracking_uid


def _rank(lesion: TrackedLesion, ordered: Sequence[TrackedLesion]) -> int:
    """Return the index of the lesion among those of the same organ."""
    return [other.tracking_uid for other in ordered if other.organ == lesion.organ].index(lesion.tracking_uid)


def _reason(lesion: TrackedLesion, is_target: bool, slice_mm: float) -> str:
    if lesion.state is not State.PRESENT or lesion.long_axis_mm is None:
        return f"{lesion.label} {lesion.state}: not a target"
    text = f"{lesion.label} {lesion.long_axis_mm:.1f} mm"
    if is_target:
        return f"{text}: target"
    if _is_measurable(lesion, slice_mm):
        return f"{text}: not a target, others are larger (at most {MAX_PER_ORGAN} per organ, {MAX_TARGETS} in all)"
    limit = f"{smallest_measurable_mm(slice_mm):.1f} mm"
    thick = f", twice the slice thickness of {slice_mm:.1f} mm" if slice_mm > THICK_SLICE_MM else ""
    return f"{text}: not a target, below {limit}{thick}"


def _term(uid: str, lesion: TrackedLesion | None) -> _Term:
    if lesion is None:
        return _Term(length_mm=None, volume_ml=None, text=f"{uid} not evaluable (not listed)")
    if lesion.state is State.VANISHED:
        return _Term(length_mm=0.0, volume_ml=0.0, text=f"{lesion.label} 0.0 (vanished)")
    if lesion.state is State.TOO_SMALL:
        return _too_small(lesion)
    if lesion.state is not State.PRESENT or lesion.long_axis_mm is None:
        return _Term(length_mm=None, volume_ml=None, text=f"{lesion.label} not evaluable")
    length_mm = round(lesion.long_axis_mm, 1)
    return _Term(length_mm=length_mm, volume_ml=lesion.volume_ml, text=f"{lesion.label} {length_mm:.1f}")


def _too_small(lesion: TrackedLesion) -> _Term:
    """Return the given length, even below 5 mm, or the default of 5 mm (4.3.2)."""
    length_mm = TOO_SMALL_MM if lesion.long_axis_mm is None else round(lesion.long_axis_mm, 1)
    volume_ml = TOO_SMALL_ML if lesion.volume_ml is None else lesion.volume_ml
    return _Term(
        length_mm=length_mm, volume_ml=volume_ml, text=f"{lesion.label} {length_mm:.1f} (too small to measure)"
    )


def _mergers(lesion_graph: LesionGraph, targets: Sequence[str]) -> Iterator[str]:
    for uid in lesion_graph.family(targets):
        if uid in lesion_graph.merged:
            lesion, outer = lesion_graph.lesion(uid), lesion_graph.lesion(lesion_graph.merged[uid])
            yield f"{lesion.label if lesion else uid} (within {outer.label if outer else lesion_graph.merged[uid]})"
