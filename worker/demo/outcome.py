"""What findings.json says of a scan among the earlier ones, as the demo prints it. Computes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worker.follow_up.comparison import Statement
from worker.follow_up.growth import DoublingTime
from worker.follow_up.matching import Event
from worker.recist.timepoints import State


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionOutcome:
    """What became of one lesion since the scan before."""

    tracking_uid: str
    name: str
    event: Event | None
    state: State
    before_ml: float | None
    """On the latest scan before that measured it."""
    after_ml: float | None
    percent: float | None
    is_beyond_chance: bool | None
    """Of the volume."""
    doubling: DoublingTime | None
    other: str | None
    """Name of the lesion that it merged into, split from, or may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The scan among the earlier ones."""

    statement: Statement
    reason: str | None
    interval_days: int | None
    """Since the scan before."""
    registration: str | None
    lesions: tuple[LesionOutcome, ...]
    response: str | None
    """Proposed by RECIST 1.1."""
    arithmetic: tuple[str, ...]
    """Of the baseline, then of this scan, a line each."""


def read_outcome(findings_json: Path) -> Outcome | None:
    """Read what was found about earlier scans; None where nothing is said of them."""
    said = json.loads(findings_json.read_text(encoding="utf-8"))["comparison"]
    if said is None:
        return None
    names = {lesion["tracking_uid"]: lesion["name"] for lesion in said["lesions"]}
    days = [point["day"] for point in said["time_points"]]
    recist = said["recist"]
    now = recist["assessments"][-1] if recist and recist["assessments"] else None
    return Outcome(
        statement=Statement(said["statement"]),
        reason=said["reason"],
        interval_days=days[-1] - days[-2] if len(days) > 1 else None,
        registration=_registration(said["registration"]) if said["registration"] else None,
        lesions=tuple(_lesion(lesion, names) for lesion in said["lesions"]),
        response=now["response"] if now else None,
        arithmetic=(*recist["baseline"]["basis"], *now["basis"]) if now else (),
    )


def _registration(said: dict[str, Any]) -> str:
    words = [said["method"]]
    if said["reason"]:
        words.append(said["reason"])
    if said["surface_mm"] is not None:
        words.append(f"the lungs' surfaces are {said['surface_mm']:.1f} mm apart on average")
    return f"registration: {', '.join(words)}"


def _lesion(said: dict[str, Any], names: dict[str, str]) -> LesionOutcome:
    change, sizes = said["change"], [observation["sizes"] for observation in said["observations"]]
    earlier = [each for each in sizes[:-1] if each]
    growth = change["growth"] if change else None
    return LesionOutcome(
        tracking_uid=said["tracking_uid"],
        name=said["name"],
        event=Event(said["event"]) if said["event"] else None,
        state=State(said["observations"][-1]["state"]),
        before_ml=earlier[-1]["volume_ml"] if earlier else None,
        after_ml=sizes[-1]["volume_ml"] if sizes[-1] else None,
        percent=change["volume"]["percent"] if change else None,
        is_beyond_chance=change["volume"]["is_beyond_chance"] if change else None,
        doubling=_doubling(growth) if growth else None,
        other=next((names.get(said[key], "a lesion") for key in _others(said["event"]) if said[key]), None),
    )


def _others(event: str | None) -> tuple[str, ...]:
    """A part keeps the name of the whole for good, which is said once."""
    return ("merged_into", "possible_match", *(["split_from"] if event == Event.SPLIT else []))


def _doubling(said: dict[str, Any]) -> DoublingTime:
    return DoublingTime(
        days=said["doubling_days"],
        fastest_days=said["doubling_days_fastest"],
        slowest_days=said["doubling_days_slowest"],
    )
