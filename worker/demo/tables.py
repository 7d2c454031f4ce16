"""The tables and lines that the demo prints, at most 80 columns wide."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from rich.table import Table

from worker.demo.follow_up_ground_truth import TimelineComparison
from worker.demo.outcome import LesionOutcome, Outcome
from worker.demo.patient import TrueTimeline
from worker.findings import Findings
from worker.follow_up.comparison import ComparisonStatus
from worker.follow_up.growth import DoublingTime
from worker.follow_up.matching import Event
from worker.phantom.chest import PhantomLesion

ARROW = "\N{RIGHTWARDS ARROW}"
FALSE_POSITIVE_MARK = " *"
FALSE_POSITIVE_NOTE = "* false positive: not a lesion of the phantom"


def found_table(name: str, findings: Findings, false_positives: Collection[str]) -> Table:
    """Return the table of a scan's findings, as stored in the PACS. false_positives: tracking UIDs."""
    table = Table("lesion", "centre LPS mm", "volume ml", "long x short axis mm", "mean HU")
    table.title = f"{name}: findings stored in the PACS"
    for finding in findings.findings:
        measured, lesion = finding.measurement, finding.lesion
        table.add_row(
            lesion.tracking_id + _mark(lesion.tracking_uid, false_positives),
            " ".join(f"{value:.0f}" for value in lesion.centroid_mm),
            f"{measured.volume_ml:.2f}",
            f"{measured.long_axis.length_mm:.1f} x {measured.short_axis.length_mm:.1f}",
            f"{measured.intensity.mean_hu:.0f}",
        )
    return table


def outcome_table(outcome: Outcome, false_positives: Collection[str]) -> Table:
    """Return the table of each lesion's change since the previous scan. false_positives: tracking UIDs."""
    table = Table("lesion", "event")
    table.add_column("volume ml", no_wrap=True)
    table.add_column("change")
    table.add_column("beyond\nchance")
    table.add_column("doubling days\n(95 %)", no_wrap=True)
    table.title = f"since the previous scan, {outcome.interval_days} days ago; {outcome.registration}"
    table.caption = "negative: halving time; 95 %: at the fast and slow end of the growth rate"
    for lesion in outcome.lesions:
        table.add_row(
            lesion.name + _mark(lesion.tracking_uid, false_positives),
            _event(lesion),
            f"{_ml(lesion.before_ml)} {ARROW} {_ml(lesion.after_ml)}",
            "" if lesion.percent is None else f"{lesion.percent:+z.0f} %",
            "" if lesion.is_beyond_chance is None else "yes" if lesion.is_beyond_chance else "no",
            _doubling(lesion.doubling) if lesion.doubling else "",
        )
    return table


def true_timeline_table(timelines: Sequence[TimelineComparison]) -> Table:
    """Return the table of each phantom lesion's true timeline, its reported event, and whether they agree."""
    table = Table("truth", "true ml", "true doubling days", "found as", "result")
    table.title = "true and reported timeline"
    for each in timelines:
        before, after = each.truth.before, each.truth.after
        table.add_row(
            each.truth.name,
            f"{_true_ml(before)} {ARROW} {_true_ml(after)}",
            _true_days(each.truth),
            f"{each.reported.name}, {_event(each.reported)}" if each.reported else "-",
            "ok" if each.is_right else "wrong" if each.reported else "missed",
        )
    return table


def outcome_lines(outcome: Outcome) -> Iterator[str]:
    """Yield lines: the new lesions and the proposed RECIST response, or the reason why there is no comparison."""
    if outcome.statement is not ComparisonStatus.COMPARED:
        yield f"{outcome.statement}: {outcome.reason}" if outcome.reason else str(outcome.statement)
        return
    new = [lesion.name for lesion in outcome.lesions if lesion.event is Event.NEW]
    yield f"new lesions: {', '.join(new) or 'none'}"
    yield f"RECIST 1.1, proposed: {outcome.response}"
    yield from (f"    {line}" for line in outcome.arithmetic)


def _mark(tracking_uid: str, false_positives: Collection[str]) -> str:
    return FALSE_POSITIVE_MARK if tracking_uid in false_positives else ""


def _event(lesion: LesionOutcome) -> str:
    event = str(lesion.event) if lesion.event else str(lesion.state)
    return f"{event} ({lesion.other})" if lesion.other else event


def _ml(volume_ml: float | None) -> str:
    return "-" if volume_ml is None else f"{volume_ml:.2f}"


def _true_ml(lesion: PhantomLesion | None) -> str:
    return _ml(None if lesion is None else lesion.volume_ml)


def _doubling(doubling: DoublingTime) -> str:
    """Format days and its interval, the upper end of the growth rate first; a negative time is a halving time."""
    return f"{_days(doubling.days)} ({_days(doubling.fastest_days)}, {_days(doubling.slowest_days)})"


def _days(days: float | None) -> str:
    return "none" if days is None else f"{days:.0f}"


def _true_days(timeline: TrueTimeline) -> str:
    if timeline.before is None or timeline.after is None:
        return "-"
    return _days(timeline.doubling_days)
