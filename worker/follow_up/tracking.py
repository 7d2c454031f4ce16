"""Which tracking UID and name each lesion bears now, and what became of the known ones. Measures nothing.

A tracking UID carries over only where identity may be asserted (PS3.16 TID 4108 means one and the same finding). A
doubtful lesion gets a UID of its own, and the known one that it may be is not evaluable, neither gone nor seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

from worker.follow_up.lesion_history import KnownLesion
from worker.follow_up.matching import Event, Match
from worker.recist.timepoints import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a lesion of the current scan is called, and why."""

    tracking_uid: str
    name: str
    event: Event
    confidence: float
    state: State = State.PRESENT
    possible_match: str | None = None
    split_from: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """What became of a known lesion that the current scan does not show for itself."""

    state: State
    event: Event | None = None
    merged_into: str | None = None


def identities(matches: Sequence[Match], known: Mapping[str, KnownLesion], order: Sequence[str]) -> dict[str, Identity]:
    """Return the identity of each lesion of the current scan; `order`: their own tracking UIDs, the largest first."""
    taken = {lesion.name for lesion in known.values()}
    free = (name for name in (f"lesion-{number}" for number in count(1)) if name not in taken)
    by_key = {key: (match, place) for match in matches for place, key in enumerate(match.later)}
    return {key: _identity(key, *by_key[key], known, free) for key in order}


def _identity(key: str, match: Match, place: int, known: Mapping[str, KnownLesion], free: Iterator[str]) -> Identity:
    first = match.earlier[0] if match.earlier else None
    if first is not None and match.is_confident and place == 0:
        return Identity(tracking_uid=first, name=known[first].name, event=match.event, confidence=match.confidence)
    own = Identity(tracking_uid=key, name=next(free), event=Event.NEW, confidence=match.confidence)
    if first is None:
        return own
    if match.is_confident:
        return replace(own, event=Event.SPLIT, split_from=first)
    return replace(own, state=State.DOUBTFUL, possible_match=first)


def absences(
    matches: Sequence[Match], known: Mapping[str, KnownLesion], out_of_view: frozenset[str]
) -> dict[str, Absence]:
    """Return what became of each known lesion whose tracking UID no lesion of the current scan bears."""
    by_uid = {uid: (match, place) for match in matches for place, uid in enumerate(match.earlier)}
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
    return Absence(state=State.MERGED, event=Event.MERGED, merged_into=match.earlier[0]) if place else None


def _still_absent(lesion: KnownLesion) -> Absence:
    """Of a lesion that could not be matched: gone before, or never outlined."""
    last = lesion.last
    is_gone = last.state in (State.VANISHED, State.MERGED)
    return Absence(state=last.state if is_gone else State.NOT_EVALUABLE, merged_into=last.merged_into)
