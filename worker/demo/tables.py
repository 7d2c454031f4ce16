"""What the demo prints, as tables and lines of at most 80 columns. Computes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from rich.table import Table

from worker.demo.follow_up_ground_truth import TimelineComparison
from worker.demo.outcome import LesionOutcome, Outcome
from worker.demo.patient import TrueTimeline
from worker.findings import Findings
from worker.follow_up.comparison import Statement
from worker.follow_up.growth import DoublingTime
from worker.follow_up.matching import Event
from worker.phantom.chest import PhantomLesion

TO = "\N{RIGHTWARDS ARROW}"
FALSE_MARK = " *"
FALSE_MARK_MEANS = "* no lesion of the phantom: a false mark, as this model makes some"


def found_table(name: str, findings: Findings, false_positives: Collection[str]) -> Table:
    """Return what the PACS now holds of a scan; false_positives: tracking UIDs."""
    table = Table("lesion", "centre LPS mm", "volume ml", "long x short axis mm", "mean HU")
    table.title = f"{name}: what the PACS now holds"
    for finding in findings.findings:
        measured, lesion = finding.measurement, finding.lesion
        table.add_row(
            lesion.tracking_id + _star(lesion.tracking_uid, false_positives),
            " ".join(f"{value:.0f}" for value in lesion.centroid_mm),
            f"{measured.volume_ml:.2f}",
            f"{measured.long_axis.length_mm:.1f} x {measured.short_axis.length_mm:.1f}",
            f"{measured.mean_hu:.0f}",
        )
    return table


def outcome_table(outcome: Outcome, false_positives: Collection[str]) -> Table:
    """Return what became of each lesion."""
    table = Table("lesion", "became")
    table.add_column("volume ml", no_wrap=True)
    table.add_column("change")
    table.add_column("beyond\nchance")
    table.add_column("doubling days\n(95 %)", no_wrap=True)
    table.title = f"since the scan before, {outcome.interval_days} days ago; {outcome.registration}"
    table.caption = "negative: it halves; 95 %: fast and slow end of the growth rate"
    for lesion in outcome.lesions:
        table.add_row(
            lesion.name + _star(lesion.tracking_uid, false_positives),
            _event(lesion),
            f"{_ml(lesion.before_ml)} {TO} {_ml(lesion.after_ml)}",
            "" if lesion.percent is None else f"{lesion.percent:+z.0f} %",
            "" if lesion.is_beyond_chance is None else "yes" if lesion.is_beyond_chance else "no",
            _doubling(lesion.doubling) if lesion.doubling else "",
        )
    return table


def true_timeline_table(courses: Sequence[TimelineComparison]) -> Table:
    """Return what is true of each lesion of the phantom, and whether that was said of it."""
    table = Table("on paper", "true ml", "true doubling days", "found as", "verdict")
    table.title = "true against stated course"
    for each in courses:
        before, after = each.truth.before, each.truth.after
        table.add_row(
            each.truth.name,
            f"{_true_ml(before)} {TO} {_true_ml(after)}",
            _true_days(each.truth),
            f"{each.said.name}, {_event(each.said)}" if each.said else "-",
            "ok" if each.is_right else "not so" if each.said else "missed",
        )
    return table


def outcome_lines(outcome: Outcome) -> Iterator[str]:
    """Yield the new lesions and the RECIST proposal, or why there is no comparison."""
    if outcome.statement is not Statement.COMPARED:
        yield f"{outcome.statement}: {outcome.reason}" if outcome.reason else str(outcome.statement)
        return
    new = [lesion.name for lesion in outcome.lesions if lesion.event is Event.NEW]
    yield f"new lesions: {', '.join(new) or 'none'}"
    yield f"RECIST 1.1, proposed: {outcome.response}"
    yield from (f"    {line}" for line in outcome.arithmetic)


def _star(tracking_uid: str, false_positives: Collection[str]) -> str:
    return FALSE_MARK if tracking_uid in false_positives else ""


def _event(lesion: LesionOutcome) -> str:
    words = str(lesion.event) if lesion.event else str(lesion.state)
    return f"{words} ({lesion.other})" if lesion.other else words


def _ml(volume_ml: float | None) -> str:
    return "-" if volume_ml is None else f"{volume_ml:.2f}"


def _true_ml(lesion: PhantomLesion | None) -> str:
    return _ml(None if lesion is None else lesion.volume_ml)


def _doubling(doubling: DoublingTime) -> str:
    """The ends of the growth rate's interval, the upper one first; a negative time is a halving time."""
    return f"{_days(doubling.days)} ({_days(doubling.fastest_days)}, {_days(doubling.slowest_days)})"


def _days(days: float | None) -> str:
    return "none" if days is None else f"{days:.0f}"


def _true_days(course: TrueTimeline) -> str:
    if course.before is None or course.after is None:
        return "-"
    return _days(course.doubling_days)
