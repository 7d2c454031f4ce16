"""Which series of a study is analysed: the choice among its candidates, as a pure function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dicom_node.selection.score import Score
from dicom_node.series import Series


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A received series of a study, its score, and what is known of it from its jobs.

    cut_lungs_ml: the lung that it shows, if a worker found that the scan ends within the lungs.
    """

    series: Series
    score: Score
    slices: int
    is_forced: bool = False
    """Whether a person chose it (`lungspread retry --series`)."""
    was_rejected: bool = False
    """Whether a worker has rejected it, as it is now."""
    has_result: bool = False
    cut_lungs_ml: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The decision for one study. series: None if no series is left that could be analysed."""

    series: Series | None
    set_aside: tuple[Series, ...]


def choose(candidates: Sequence[Candidate]) -> Choice:
    """Return the series that is analysed, and those that are not.

    A person's choice comes first. Else the best score that no worker has rejected; a series that ends within the lungs
    is taken only if no other one is left, the one with the most lung first. Of a study without any series that suits,
    the longest is analysed, so that its rejection says why.
    """
    chosen = _chosen(candidates)
    others = tuple(each.series for each in candidates if chosen is None or each.series != chosen.series)
    return Choice(series=None if chosen is None else chosen.series, set_aside=others)


def _chosen(candidates: Sequence[Candidate]) -> Candidate | None:
    if forced := [each for each in candidates if each.is_forced]:
        return _best(forced)
    if suitable := [each for each in candidates if each.score.points is not None and not each.was_rejected]:
        whole = [each for each in suitable if each.cut_lungs_ml is None]
        return _best(whole) if whole else max(suitable, key=lambda each: each.cut_lungs_ml or 0.0)
    if any(each.was_rejected for each in candidates):
        return None
    return max(candidates, key=lambda each: (each.slices, each.series.series_uid), default=None)


def _best(candidates: Sequence[Candidate]) -> Candidate:
    """Return the one with the most points; of equals the one that was analysed already, then the longer one."""
    return max(candidates, key=lambda c: (c.score.points or 0, c.has_result, c.slices, c.series.series_uid))
