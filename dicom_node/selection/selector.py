"""Decides, study by study, when a study is complete and which of its series is analysed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dicom_node.journal.journal import Journal
from dicom_node.journal.selections import SelectionRecord, StudySeries
from dicom_node.selection.choice import Candidate, Choice, choose
from dicom_node.selection.pacs_counts import PacsCounts
from dicom_node.selection.rules import SelectionSettings
from dicom_node.selection.score import Score, score_of
from dicom_node.selection.series_facts import read_facts
from dicom_node.series import Series
from dicom_node.storage.spool import Spool

log = logging.getLogger(__name__)

READ_AHEAD = 0.5
"""Share of the quiet period after which the headers of a series are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """What the headers of a series said when its last instance had arrived. gaps: where slices are missing."""

    last_arrival: float
    score: Score
    gaps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySelector:
    """Reads the headers of complete studies, and chooses. quiet_period_s: of one series.

    counts: what the PACS has of each series; None: it is not asked.
    """

    journal: Journal
    spool: Spool
    settings: SelectionSettings
    quiet_period_s: float
    counts: PacsCounts | None = None
    _known: dict[str, _Read] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Two loops of the node ask; the second finds the headers read."""

    def choices(self, now: float) -> list[Choice]:
        """Return the choice of each complete study with something new; it is not recorded before `decide`."""
        if self.settings.series == "all":
            return every_series(self.journal, self.quiet_period_s, now)
        with self._lock:
            return self._decided(self.journal.selections.open_studies(), now)

    def _decided(self, studies: Mapping[str, Sequence[StudySeries]], now: float) -> list[Choice]:
        for closed in self._known.keys() - {one.series.series_uid for study in studies.values() for one in study}:
            self._known.pop(closed, None)
        if self.counts is not None:
            self.counts.forget_except(studies)
        self._read_ahead(studies, now)
        return [self._choice(uid, study) for uid, study in studies.items() if self._is_complete(study, now)]

    def _read_ahead(self, studies: Mapping[str, Sequence[StudySeries]], now: float) -> None:
        """Read the headers of series that may be complete, so that nothing waits for it when their time is over."""
        for one in (one for study in studies.values() for one in study):
            if one.series.last_arrival + READ_AHEAD * self.quiet_period_s < now:
                self._read(one.series)

    def _is_complete(self, study: Sequence[StudySeries], now: float) -> bool:
        """Whether a study is quiet, and nothing is missing of it or it has waited long enough."""
        sent = [one.series for one in study if not one.is_fetched]
        quiet_s = max(self.quiet_period_s, self.settings.quiet_period_s)
        quiet_at = max((series.last_arrival for series in sent), default=0.0) + quiet_s
        if sent and quiet_at >= now:
            return False
        if now <= quiet_at + self.settings.completion_limit_s and any(self._has_gaps(series) for series in sent):
            return False
        return self.counts is None or self.counts.is_complete(sent, quiet_at, now)

    def _has_gaps(self, series: Series) -> bool:
        read = self._read(series)
        return read.gaps > 0 and read.score.points is not None

    def _choice(self, study_uid: str, study: Sequence[StudySeries]) -> Choice:
        scores = [self._read(one.series).score for one in study]
        records = {record.series_uid: record for record in self.journal.selections.of_study(study_uid)}
        found = [
            _candidate(one, records[one.series.series_uid], scored) for one, scored in zip(study, scores, strict=True)
        ]
        return choose(found)

    def _read(self, series: Series) -> _Read:
        """Return what the headers of a series say; they are read again after newer instances arrived."""
        known = self._known.get(series.series_uid)
        if known is not None and known.last_arrival == series.last_arrival:
            return known
        paths = self.spool.instance_paths(series.series_uid, series.sop_instance_uids)
        facts = read_facts(paths, {rule.element for rule in self.settings.rules})
        read = _Read(last_arrival=series.last_arrival, score=score_of(facts, self.settings.rules), gaps=facts.gaps)
        self.journal.selections.record_score(series, read.score, facts.slices)
        self._known[series.series_uid] = read
        return read


def every_series(journal: Journal, quiet_period_s: float, now: float) -> list[Choice]:
    """Return a choice for every series on its own that is quiet and has something new."""
    return [Choice(series=series, set_aside=()) for series in journal.series.quiet(now - quiet_period_s)]


def _candidate(one: StudySeries, record: SelectionRecord, score: Score) -> Candidate:
    return Candidate(
        series=one.series,
        score=score,
        slices=record.slices,
        is_forced=record.is_forced,
        was_rejected=one.was_rejected,
        has_result=one.has_result,
        cut_lungs_ml=record.cut_lungs_ml,
    )
