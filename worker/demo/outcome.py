"""The comparison with the priors in findings.json, as the demo prints it."""

from __future__ import annotations

from dataclasses import dataclass

from worker.follow_up.comparison import ComparisonStatus
from worker.follow_up.growth import DoublingTime
from worker.follow_up.matching import Event
from worker.outputs.json.change_model import GrowthJson
from worker.outputs.json.comparison_model import ComparisonJson, LesionTimelineJson, RegistrationJson
from worker.recist.timepoints import State


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionOutcome:
    """Outcome of one lesion since the previous scan."""

    tracking_uid: str
    name: str
    event: Event | None
    state: State
    before_ml: float | None
    """On the latest prior that measured it."""
    after_ml: float | None
    percent: float | None
    is_beyond_chance: bool | None
    """Whether the volume change exceeds the measurement error."""
    doubling: DoublingTime | None
    other: str | None
    """Name of the lesion that it merged into, split from, or possibly matches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Outcome of one scan, compared with its priors."""

    statement: ComparisonStatus
    reason: str | None
    interval_days: int | None
    """Since the previous scan."""
    registration: str | None
    lesions: tuple[LesionOutcome, ...]
    response: str | None
    """Proposed by RECIST 1.1."""
    arithmetic: tuple[str, ...]
    """Lines of arithmetic: of the baseline, then of this scan."""


def outcome_of(comparison: ComparisonJson) -> Outcome:
    """Return the outcome of the comparison in a findings.json."""
    names = {lesion.tracking_uid: lesion.name for lesion in comparison.lesions}
    days = [point.day for point in comparison.time_points]
    recist = comparison.recist
    current = recist.assessments[-1] if recist and recist.assessments else None
    return Outcome(
        statement=comparison.statement,
        reason=comparison.reason,
        interval_days=days[-1] - days[-2] if len(days) > 1 else None,
        registration=_registration(comparison.registration) if comparison.registration else None,
        lesions=tuple(_lesion(lesion, names) for lesion in comparison.lesions),
        response=current.response if current else None,
        arithmetic=(*recist.baseline.basis, *current.basis) if recist and current else (),
    )


def _registration(registration: RegistrationJson) -> str:
    parts = [registration.method.value]
    if registration.reason:
        parts.append(registration.reason)
    if registration.surface_mm is not None:
        parts.append(f"mean distance of the lung surfaces {registration.surface_mm:.1f} mm")
    return f"registration: {', '.join(parts)}"


def _lesion(lesion: LesionTimelineJson, names: dict[str, str]) -> LesionOutcome:
    change, sizes = lesion.change, [observation.sizes for observation in lesion.observations]
    prior_sizes = [each for each in sizes[:-1] if each]
    growth = change.growth if change else None
    return LesionOutcome(
        tracking_uid=lesion.tracking_uid,
        name=lesion.name,
        event=lesion.event,
        state=lesion.observations[-1].state,
        before_ml=prior_sizes[-1].volume_ml if prior_sizes else None,
        after_ml=sizes[-1].volume_ml if sizes[-1] else None,
        percent=change.volume.percent if change else None,
        is_beyond_chance=change.volume.is_beyond_chance if change else None,
        doubling=_doubling(growth) if growth else None,
        other=next((names.get(uid, "a lesion") for uid in _related(lesion) if uid), None),
    )


def _related(lesion: LesionTimelineJson) -> tuple[str | None, ...]:
    """Return the UIDs of related lesions; `split_from` stays set on later scans, but is shown once."""
    split_from = lesion.split_from if lesion.event is Event.SPLIT else None
    return lesion.merged_into, lesion.possible_match, split_from


def _doubling(growth: GrowthJson) -> DoublingTime:
    return DoublingTime(
        days=growth.doubling_days,
        fastest_days=growth.doubling_days_fastest,
        slowest_days=growth.doubling_days_slowest,
    )
