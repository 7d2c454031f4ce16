"""Which lesions of a scan stand for one that was known before: merged ones, parts, itself. Knows no rule of RECIST."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from worker.recist.timepoints import SEEN, State, TimePoint, TrackedLesion


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionGraph:
    """A time point, and all that merged and split up to it."""

    point: TimePoint
    merged: Mapping[str, str]
    """Tracking UID of a merged lesion, and of the one that holds it."""
    parts: Mapping[str, str]
    """Tracking UID of a part, and of the lesion that it split from."""
    dissolved: frozenset[str]
    """Tracking UIDs of lesions that fell into parts, none of which kept the UID."""

    def lesion(self, tracking_uid: str) -> TrackedLesion | None:
        """Return the lesion at this time point; None where it says nothing of it."""
        return next((lesion for lesion in self.point.lesions if lesion.tracking_uid == tracking_uid), None)

    def family(self, tracking_uids: Iterable[str]) -> tuple[str, ...]:
        """Return these lesions, all their parts, all that they merged into, and so on; each once."""
        found = list(dict.fromkeys(tracking_uids))
        for uid in found:  # grows while it is walked
            related = [part for part, whole in self.parts.items() if whole == uid]
            if uid in self.merged:
                related.append(self.merged[uid])
            found.extend(other for other in related if other not in found)
        return tuple(found)

    def measured(self, tracking_uids: Iterable[str]) -> tuple[str, ...]:
        """Return the lesions to be measured for these: those of their family that are not within others."""
        elsewhere = self.merged.keys() | self.dissolved
        return tuple(uid for uid in self.family(tracking_uids) if uid not in elsewhere)

    def is_seen(self, tracking_uid: str) -> bool:
        """Say whether a lesion, or what carries it, is seen at this time point."""
        return any(lesion.state in SEEN for lesion in self._measured(tracking_uid))

    def is_gone(self, tracking_uid: str) -> bool:
        """Say whether a lesion, with all that carries it, has vanished."""
        measured = self.measured([tracking_uid])
        gone = [lesion for lesion in self._measured(tracking_uid) if lesion.state is State.VANISHED]
        return bool(measured) and len(gone) == len(measured)

    def _measured(self, tracking_uid: str) -> Iterator[TrackedLesion]:
        lesions = map(self.lesion, self.measured([tracking_uid]))
        return (lesion for lesion in lesions if lesion)


def lesion_graphs(points: Sequence[TimePoint]) -> Iterator[LesionGraph]:
    """Yield the lineage at each of these time points, which are in the order of their dates."""
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
    """A merged lesion stays so, listed or not, until it is seen for itself again."""
    apart = {lesion.tracking_uid for lesion in point.lesions if lesion.state in SEEN}
    now = {each.tracking_uid: each.merged_into for each in point.lesions if each.state is State.MERGED}
    return {
        **{uid: holder for uid, holder in before.items() if uid not in apart},
        **{uid: holder for uid, holder in now.items() if holder},
    }


def _parts(point: TimePoint, before: Mapping[str, str]) -> dict[str, str]:
    return {**{each.tracking_uid: each.split_from for each in point.lesions if each.split_from}, **before}


def _dissolved(point: TimePoint, before: LesionGraph) -> frozenset[str]:
    listed = {lesion.tracking_uid for lesion in point.lesions}
    split = {each.split_from for each in point.lesions if each.split_from and each.tracking_uid not in before.parts}
    return (before.dissolved | split) - listed
