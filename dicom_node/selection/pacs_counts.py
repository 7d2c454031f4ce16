"""Whether the PACS has more instances of a series than the node has received: then the sender is not done."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from dicom_node.errors import PacsUnavailable
from dicom_node.priors.query import series_of, series_query
from dicom_node.priors.source import Source
from dicom_node.series import Series

log = logging.getLogger(__name__)

_ASK_AGAIN_S = 10.0
_NEVER = float("-inf")


@dataclass(slots=True)
class _Answer:
    """What the peers have of a study: instances by Series Instance UID."""

    asked_at: float = _NEVER
    counts: dict[str, int] = field(default_factory=dict)
    is_awaited: bool = True
    is_given_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PacsCounts:
    """Number of Series Related Instances (PS3.4 C.6.2.1.3) of received studies, asked for by a loop of its own.

    limit_s: how long a series waits for instances that its PACS has and the node has not.
    """

    sources: Sequence[Source]
    limit_s: float
    _answers: dict[str, _Answer] = field(default_factory=dict)

    def is_complete(self, received: Sequence[Series], quiet_at: float, now: float) -> bool:
        """Whether a study is complete by the PACS's count, or has waited for `limit_s` since it was quiet.

        received: its series that were sent. A series that was not sent at all is not waited for. A study that was not
        asked for yet is asked for by the next `step`.
        """
        if not received:
            return True
        study_uid = received[0].study_uid
        answer = self._answers.setdefault(study_uid, _Answer())
        missing = {one.series_uid: n for one in received if (n := self._missing(one, answer)) > 0}
        is_late = now > quiet_at + self.limit_s
        is_asked = quiet_at <= answer.asked_at <= now  # not if the clock was set back since
        answer.is_awaited = not is_late and (bool(missing) or not is_asked)
        if answer.is_awaited or not missing:
            return not answer.is_awaited
        for series_uid, count in () if answer.is_given_up else missing.items():
            log.warning("series %s: %d instances at the PACS did not arrive in %g s", series_uid, count, self.limit_s)
        answer.is_given_up = True
        return True

    @property
    def has_questions(self) -> bool:
        """Whether a study waits that was not asked for yet."""
        return any(answer.asked_at == _NEVER for answer in list(self._answers.values()))

    def forget_except(self, study_uids: Collection[str]) -> None:
        """Forget the answers for studies that have nothing new."""
        for study_uid in set(self._answers).difference(study_uids):
            self._answers.pop(study_uid, None)

    def step(self, now: float) -> bool:
        """Ask for the counts of studies that wait; return whether any was asked for."""
        waiting = [(uid, answer) for uid, answer in list(self._answers.items()) if answer.is_awaited]
        due = [uid for uid, answer in waiting if not answer.asked_at <= now < answer.asked_at + _ASK_AGAIN_S]
        for study_uid in due:
            begun = time.monotonic()
            counts = self._ask(study_uid)
            if (answer := self._answers.get(study_uid)) is not None:
                answer.counts, answer.asked_at = counts, now + time.monotonic() - begun
        return bool(due)

    def abort(self) -> None:
        """End a query that another thread makes."""
        for source in self.sources:
            source.abort()

    def _ask(self, study_uid: str) -> dict[str, int]:
        counts: dict[str, int] = {}
        for source in self.sources:
            try:
                found = series_of(source.find(series_query(study_uid)), study_uid)
            except PacsUnavailable as error:
                log.warning("study %s: number of instances not known: %s", study_uid, error)
                continue
            for series in found:
                counts[series.series_uid] = max(counts.get(series.series_uid, 0), series.instances)
        return counts

    @staticmethod
    def _missing(series: Series, answer: _Answer) -> int:
        return answer.counts.get(series.series_uid, 0) - len(series.sop_instance_uids)
