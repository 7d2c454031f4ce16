"""Decides, study by study, when a study is complete and which of its series is analysed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
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

_Scored = tuple[float, Score]
"""The last arrival when the headers of a series were read, and its score."""


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
    _scores: dict[str, _Scored] = field(default_factory=dict)

    def choices(self, now: float) -> list[Choice]:
        """Return the choice of each complete study with something new; it is not recorded before `decide`."""
        if self.settings.series == "all":
            return every_series(self.journal, self.quiet_period_s, now)
        studies = self.journal.selections.open_studies()
        for closed in self._scores.keys() - {one.series.series_uid for study in studies.values() for one in study}:
            self._scores.pop(closed, None)
        if self.counts is not None:
            self.counts.forget_except(studies)
        return [self._choice(uid, study) for uid, study in studies.items() if self._is_complete(study, now)]

    def _is_complete(self, study: Sequence[StudySeries], now: float) -> bool:
        sent = [one.series for one in study if not one.is_fetched]
        quiet_since = max((series.last_arrival for series in sent), default=0.0)
        quiet_s = max(self.quiet_period_s, self.settings.quiet_period_s)
        if sent and quiet_since >= now - quiet_s:
            return False
        return self.counts is None or self.counts.is_complete(sent, quiet_since + quiet_s, now)

    def _choice(self, study_uid: str, study: Sequence[StudySeries]) -> Choice:
        scores = [self._score_of(one.series) for one in study]
        records = {record.series_uid: record for record in self.journal.selections.of_study(study_uid)}
        found = [
            _candidate(one, records[one.series.series_uid], scored) for one, scored in zip(study, scores, strict=True)
        ]
        return choose(found)

    def _score_of(self, series: Series) -> Score:
        """Return the score of a series; its headers are read again after newer instances arrived."""
        known = self._scores.get(series.series_uid)
        if known is not None and known[0] == series.last_arrival:
            return known[1]
        paths = self.spool.instance_paths(series.series_uid, series.sop_instance_uids)
        facts = read_facts(paths, {rule.element for rule in self.settings.rules})
        score = score_of(facts, self.settings.rules)
        self.journal.selections.record_score(series, score, facts.slices)
        self._scores[series.series_uid] = (series.last_arrival, score)
        return score


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
