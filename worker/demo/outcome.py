"""The comparison with the priors in findings.json, as the demo prints it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.follow_up.comparison import ComparisonStatus
from worker.follow_up.growth import DoublingTime
from worker.follow_up.matching import Event
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


def read_outcome(findings_json: Path) -> Outcome | None:
    """Return the comparison in findings.json; None if it holds none."""
    comparison = json.loads(findings_json.read_text(encoding="utf-8"))["comparison"]
    if comparison is None:
        return None
    names = {lesion["tracking_uid"]: lesion["name"] for lesion in comparison["lesions"]}
    days = [point["day"] for point in comparison["time_points"]]
    recist = comparison["recist"]
    current = recist["assessments"][-1] if recist and recist["assessments"] else None
    return Outcome(
        statement=ComparisonStatus(comparison["statement"]),
        reason=comparison["reason"],
        interval_days=days[-1] - days[-2] if len(days) > 1 else None,
        registration=_registration(comparison["registration"]) if comparison["registration"] else None,
        lesions=tuple(_lesion(lesion, names) for lesion in comparison["lesions"]),
        response=current["response"] if current else None,
        arithmetic=(*recist["baseline"]["basis"], *current["basis"]) if current else (),
    )


def _registration(registration: dict[str, Any]) -> str:
    parts = [registration["method"]]
    if registration["reason"]:
        parts.append(registration["reason"])
    if registration["surface_mm"] is not None:
        parts.append(f"mean distance of the lung surfaces {registration['surface_mm']:.1f} mm")
    return f"registration: {', '.join(parts)}"


def _lesion(lesion: dict[str, Any], names: dict[str, str]) -> LesionOutcome:
    change, sizes = lesion["change"], [observation["sizes"] for observation in lesion["observations"]]
    prior_sizes = [each for each in sizes[:-1] if each]
    growth = change["growth"] if change else None
    return LesionOutcome(
        tracking_uid=lesion["tracking_uid"],
        name=lesion["name"],
        event=Event(lesion["event"]) if lesion["event"] else None,
        state=State(lesion["observations"][-1]["state"]),
        before_ml=prior_sizes[-1]["volume_ml"] if prior_sizes else None,
        after_ml=sizes[-1]["volume_ml"] if sizes[-1] else None,
        percent=change["volume"]["percent"] if change else None,
        is_beyond_chance=change["volume"]["is_beyond_chance"] if change else None,
        doubling=_doubling(growth) if growth else None,
        other=next((names.get(lesion[key], "a lesion") for key in _relations(lesion["event"]) if lesion[key]), None),
    )


def _relations(event: str | None) -> tuple[str, ...]:
    """Return the keys that name another lesion; `split_from` stays set on later scans, but is shown once."""
    return ("merged_into", "possible_match", *(["split_from"] if event == Event.SPLIT else []))


def _doubling(growth: dict[str, Any]) -> DoublingTime:
    return DoublingTime(
        days=growth["doubling_days"],
        fastest_days=growth["doubling_days_fastest"],
        slowest_days=growth["doubling_days_slowest"],
    )
