"""Tracking UIDs and numbers of the current lesions, and states of the known lesions that are absent.

A tracking UID is kept only if identity is asserted (PS3.16 TID 4108: it identifies one and the same finding). A
doubtful lesion gets its own UID, and the known lesion that it may be is not evaluable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from worker.follow_up.lesion_history import KnownLesion
from worker.follow_up.matching import Event, Match
from worker.recist.timepoints import State


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionIdentity:
    """Tracking UID, number and state of a lesion of the current scan, with its event."""

    tracking_uid: str
    number: int
    event: Event
    confidence: float
    state: State = State.PRESENT
    possible_match: str | None = None
    split_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """State of a known lesion that the current scan does not show separately."""

    state: State
    event: Event | None = None
    merged_into: str | None = None


def identities(
    matches: Sequence[Match], known: Mapping[str, KnownLesion], order: Sequence[str]
) -> dict[str, LesionIdentity]:
    """Return the identity of each current lesion by its assigned tracking UID; `order`: these UIDs, largest first.

    A known lesion keeps its number, a new one gets the next after all that the patient's lesions ever had.
    """
    following = count(max((lesion.number for lesion in known.values()), default=0) + 1)
    by_key = {key: (match, place) for match in matches for place, key in enumerate(match.later)}
    return {key: _identity(key, *by_key[key], known, following) for key in order}


def _identity(
    key: str, match: Match, place: int, known: Mapping[str, KnownLesion], following: Iterator[int]
) -> LesionIdentity:
    known_uid = match.prior[0] if match.prior else None
    if known_uid is not None and match.is_confident and place == 0:
        return LesionIdentity(
            tracking_uid=known_uid, number=known[known_uid].number, event=match.event, confidence=match.confidence
        )
    own = LesionIdentity(tracking_uid=key, number=next(following), event=Event.NEW, confidence=match.confidence)
    if known_uid is None:
        return own
    if match.is_confident:
        return replace(own, event=Event.SPLIT, split_from=known_uid)
    return replace(own, state=State.DOUBTFUL, possible_match=known_uid)


def absences(
    matches: Sequence[Match], known: Mapping[str, KnownLesion], out_of_view: frozenset[str]
) -> dict[str, Absence]:
    """Return the state of each known lesion that no lesion of the current scan continues, by tracking UID."""
    by_uid = {uid: (match, place) for match in matches for place, uid in enumerate(match.prior)}
    found = {uid: _absence(lesion, by_uid.get(uid), out_of_view) for uid, lesion in known.items()}
    return {uid: absence for uid, absence in found.items() if absence is not None}


def _absence(lesion: KnownLesion, matched: tuple[Match, int] | None, out_of_view: frozenset[str]) -> Absence | None:
    if matched is None:
        return _still_absent(lesion)
    match, place = matched
    if match.event is Event.VANISHED:
        is_hidden = lesion.tracking_uid in out_of_view
        return Absence(state=State.NOT_EVALUABLE) if is_hidden else Absence(state=State.VANISHED, event=Event.VANISHED)
    if not match.is_confident:
        return Absence(state=State.NOT_EVALUABLE)
    return Absence(state=State.MERGED, event=Event.MERGED, merged_into=match.prior[0]) if place else None


def _still_absent(lesion: KnownLesion) -> Absence:
    """Return the state of a lesion that could not be matched: absent before, or never outlined."""
    last = lesion.last
    was_absent = last.state in (State.VANISHED, State.MERGED)
    return Absence(state=last.state if was_absent else State.NOT_EVALUABLE, merged_into=last.merged_into)
