"""Proposed response of a patient over time by RECIST 1.1, with its arithmetic.

Source: Eisenhauer et al., Eur J Cancer 2009;45:228. The rules of response are in rules.py, target lesions and their
sum in targets.py. A doubtful lesion is not counted as new; if a later scan confirms it, the date of progression is that
of the first scan that showed it (4.3.5).

Not covered: lymph nodes, clinical progression, the best overall response, iRECIST.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from worker.recist.basis import BasisLine, DatedLine
from worker.recist.lesion_graph import LesionGraph, lesion_graphs
from worker.recist.response import Response, per_cent, percent_change
from worker.recist.rules import Evidence, NonTargets, Sums, by_targets, overall
from worker.recist.targets import Baseline, TargetSum, baseline_of, target_sum
from worker.recist.timepoints import SEEN, State, TimePoint, TrackedLesion, in_order
from worker.recist.volumetric import VolumetricResponse, volumetric_response


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """Response at one time point after the baseline."""

    date: date
    response: Response
    """Proposed overall response."""
    by_targets: Response | None
    """By the sum of diameters only; None if the baseline has no target."""
    total: TargetSum
    from_baseline_percent: float | None
    """None if the sum is incomplete; so are `from_nadir_percent` and `from_nadir_mm`."""
    nadir_mm: float
    """Smallest previous sum, including the baseline."""
    from_nadir_percent: float | None
    from_nadir_mm: float | None
    non_targets: NonTargets
    new_lesions: tuple[str, ...]
    """Tracking UIDs."""
    volumetric: VolumetricResponse
    basis: tuple[BasisLine, ...]
    """The arithmetic, one line for each rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseTimeline:
    """Baseline and assessments of a patient over time."""

    baseline: Baseline
    assessments: tuple[Assessment, ...]
    """By date."""
    progressed_on: date | None
    """Date of the first PD, or of the previous scan in which its new lesion was doubtful; None without PD."""


def assess_timeline(points: Iterable[TimePoint], baseline: date | None = None) -> ResponseTimeline:
    """Return baseline and assessments of time points given in any order.

    baseline: date of the baseline time point, None for the first. Raises ValueError if two time points have the same
    date, or no time point has the date of the baseline.
    """
    first, *later = lesion_graphs(in_order(points, baseline))
    start = baseline_of(first)
    assessments: tuple[Assessment, ...] = ()
    for lesion_graph in later:
        assessments += (_assess(lesion_graph, start, assessments),)
    return ResponseTimeline(baseline=start, assessments=assessments, progressed_on=_progressed_on(assessments, later))


def _assess(lesion_graph: LesionGraph, baseline: Baseline, previous: Sequence[Assessment]) -> Assessment:
    total = target_sum(lesion_graph, baseline.targets)
    sums = _sums(total, baseline, previous)
    target_response = by_targets(sums) if baseline.targets else None
    new = _new(lesion_graph, baseline)
    evidence = _evidence(lesion_graph, baseline, previous, target_response, has_new=bool(new))
    response, reason = overall(evidence)
    volumetric = _volumetric(total, baseline, previous)
    return Assessment(
        date=lesion_graph.point.date,
        response=response,
        by_targets=target_response,
        total=total,
        from_baseline_percent=percent_change(sums.now_mm, sums.baseline_mm) if sums.is_complete else None,
        nadir_mm=sums.nadir_mm,
        from_nadir_percent=percent_change(sums.now_mm, sums.nadir_mm) if sums.is_complete else None,
        from_nadir_mm=round(sums.now_mm - sums.nadir_mm, 1) if sums.is_complete else None,
        non_targets=evidence.non_targets,
        new_lesions=tuple(lesion.tracking_uid for lesion in new),
        volumetric=volumetric,
        basis=(
            *_arithmetic(total, sums, target_response),
            *_remarks(lesion_graph, new, evidence),
            reason,
            volumetric.basis,
        ),
    )


def _sums(total: TargetSum, baseline: Baseline, previous: Sequence[Assessment]) -> Sums:
    complete_sums_mm = [each.total.sum_mm for each in previous if each.total.is_complete]
    return Sums(
        now_mm=total.sum_mm,
        is_complete=total.is_complete,
        baseline_mm=baseline.total.sum_mm,
        nadir_mm=min([baseline.total.sum_mm, *complete_sums_mm]),
    )


def _new(lesion_graph: LesionGraph, baseline: Baseline) -> tuple[TrackedLesion, ...]:
    known = lesion_graph.family(baseline.targets + baseline.non_targets)
    return tuple(each for each in lesion_graph.point.lesions if each.state in SEEN and each.tracking_uid not in known)


def _evidence(
    lesion_graph: LesionGraph,
    baseline: Baseline,
    previous: Sequence[Assessment],
    target_response: Response | None,
    *,
    has_new: bool,
) -> Evidence:
    return Evidence(
        by_targets=target_response,
        non_targets=_non_targets(lesion_graph, baseline.non_targets),
        has_new=has_new,
        is_any_known_seen=any(map(lesion_graph.is_seen, baseline.targets + baseline.non_targets)),
        previous=[(each.date, each.response) for each in previous],
    )


def _non_targets(lesion_graph: LesionGraph, uids: Sequence[str]) -> NonTargets:
    if not uids:
        return NonTargets.NONE
    if any(map(lesion_graph.is_seen, uids)):
        return NonTargets.PRESENT
    return NonTargets.ABSENT if all(map(lesion_graph.has_vanished, uids)) else NonTargets.NOT_EVALUATED


def _volumetric(total: TargetSum, baseline: Baseline, previous: Sequence[Assessment]) -> VolumetricResponse:
    sums_ml = [baseline.total.sum_ml, *(each.total.sum_ml for each in previous)]
    return volumetric_response(total.sum_ml if baseline.targets else None, sums_ml)


def _arithmetic(total: TargetSum, sums: Sums, target_response: Response | None) -> tuple[str, ...]:
    if target_response is None:
        return ("no target lesion at baseline",)
    now_mm, baseline_mm, nadir_mm = sums.now_mm, sums.baseline_mm, sums.nadir_mm
    least = "" if total.is_complete else "at least "
    from_baseline = f"baseline {baseline_mm:.1f} mm: {per_cent(now_mm, baseline_mm)}, " if total.is_complete else ""
    from_nadir = f"nadir {nadir_mm:.1f} mm: {per_cent(now_mm, nadir_mm)} and {now_mm - nadir_mm:+.1f} mm"
    if target_response is Response.NE:
        from_nadir = "a target is not evaluable"
    return (
        f"targets: {total.text}",
        f"sum {least}{now_mm:.1f} mm, {from_baseline}{from_nadir}: {target_response}",
    )


def _remarks(lesion_graph: LesionGraph, new: Sequence[TrackedLesion], evidence: Evidence) -> Iterator[BasisLine]:
    doubtful = [each.label for each in lesion_graph.point.lesions if each.state is State.DOUBTFUL]
    progressed = next((day for day, response in evidence.previous if response is Response.PD), None)
    yield f"non-target lesions: {evidence.non_targets}"
    yield f"new lesions: {', '.join(lesion.label for lesion in new) or 'none'}"
    if doubtful:
        yield f"doubtful, not counted as new: {', '.join(doubtful)}"
    if progressed:
        yield DatedLine(text="progression was proposed on {date}: RECIST 1.1 follows no further", on=progressed)


def _progressed_on(assessments: Sequence[Assessment], later: Sequence[LesionGraph]) -> date | None:
    first = next((each for each in assessments if each.response is Response.PD), None)
    if first is None:
        return None
    doubtful = [
        lesion_graph.point.date
        for lesion_graph in later
        for lesion in lesion_graph.point.lesions
        if lesion.tracking_uid in first.new_lesions and lesion.state is State.DOUBTFUL
    ]
    return min([first.date, *doubtful])
