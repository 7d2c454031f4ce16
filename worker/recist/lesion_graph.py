"""Merges and splits of lesions up to a time point, and which lesions to measure in place of a known one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from worker.recist.timepoints import SEEN, State, TimePoint, TrackedLesion


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionGraph:
    """A time point with all merges and splits up to it."""

    point: TimePoint
    merged: Mapping[str, str]
    """Tracking UID of a merged lesion -> that of the lesion that contains it."""
    parts: Mapping[str, str]
    """Tracking UID of a part -> that of the lesion it split from."""
    dissolved: frozenset[str]
    """Tracking UIDs of split lesions of which no part kept the UID."""

    def lesion(self, tracking_uid: str) -> TrackedLesion | None:
        """Return the lesion at this time point; None if it is not listed."""
        return next((lesion for lesion in self.point.lesions if lesion.tracking_uid == tracking_uid), None)

    def family(self, tracking_uids: Iterable[str]) -> tuple[str, ...]:
        """Return these lesions, their parts and the lesions they merged into, recursively; each once."""
        found = list(dict.fromkeys(tracking_uids))
        for uid in found:  # the list grows during the iteration
            related = [part for part, whole in self.parts.items() if whole == uid]
            if uid in self.merged:
                related.append(self.merged[uid])
            found.extend(other for other in related if other not in found)
        return tuple(found)

    def measured(self, tracking_uids: Iterable[str]) -> tuple[str, ...]:
        """Return the lesions to measure in place of these: their family without merged and dissolved lesions."""
        not_measured = self.merged.keys() | self.dissolved
        return tuple(uid for uid in self.family(tracking_uids) if uid not in not_measured)

    def is_seen(self, tracking_uid: str) -> bool:
        """Return whether a lesion, or one measured in its place, is seen at this time point."""
        return any(lesion.state in SEEN for lesion in self._measured(tracking_uid))

    def has_vanished(self, tracking_uid: str) -> bool:
        """Return whether all lesions measured in place of this one have vanished."""
        measured = self.measured([tracking_uid])
        vanished = [lesion for lesion in self._measured(tracking_uid) if lesion.state is State.VANISHED]
        return bool(measured) and len(vanished) == len(measured)

    def _measured(self, tracking_uid: str) -> Iterator[TrackedLesion]:
        lesions = map(self.lesion, self.measured([tracking_uid]))
        return (lesion for lesion in lesions if lesion)


def lesion_graphs(points: Sequence[TimePoint]) -> Iterator[LesionGraph]:
    """Yield the lesion graph at each time point; `points` are sorted by date."""
    lesion_graph = LesionGraph(point=points[0], merged={}, parts={}, dissolved=frozenset())
    for point in points:
        lesion_graph = LesionGraph(
            point=point,
            merged=_merged(point, lesion_graph.merged),
            parts=_parts(point, lesion_graph.parts),
            dissolved=_dissolved(point, lesion_graph),
        )
        yield lesion_graph


def _merged(point: TimePoint, before: Mapping[str, str]) -> dict[str, str]:
    """Return the merges; a lesion stays merged, listed or not, until it is seen separately again."""
    separate = {lesion.tracking_uid for lesion in point.lesions if lesion.state in SEEN}
    now = {each.tracking_uid: each.merged_into for each in point.lesions if each.state is State.MERGED}
    return {
        **{uid: container for uid, container in before.items() if uid not in separate},
        **{uid: container for uid, container in now.items() if container},
    }


def _parts(point: TimePoint, before: Mapping[str, str]) -> dict[str, str]:
    return {**{each.tracking_uid: each.split_from for each in point.lesions if each.split_from}, **before}


def _dissolved(point: TimePoint, before: LesionGraph) -> frozenset[str]:
    listed = {lesion.tracking_uid for lesion in point.lesions}
    split = {each.split_from for each in point.lesions if each.split_from and each.tracking_uid not in before.parts}
    return (before.dissolved | split) - listed
