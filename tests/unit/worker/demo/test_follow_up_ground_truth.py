"""The demo's comparison of the reported follow-up with the ground truth, and its printed tables."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from tests.fixtures.worker.make_comparisons import alone, compared, uid
from worker.demo.examinations import own_examinations
from worker.demo.follow_up_ground_truth import TimelineComparison, compare_timelines
from worker.demo.outcome import LesionOutcome, Outcome, outcome_of
from worker.demo.patient import INTERVAL_DAYS, TRUE_TIMELINES, VISITS, TrueTimeline
from worker.demo.tables import FALSE_POSITIVE_MARK, outcome_lines, outcome_table, true_timeline_table
from worker.findings import Findings
from worker.follow_up.comparison import Comparison, ComparisonStatus
from worker.follow_up.growth import DoublingTime
from worker.follow_up.matching import Event
from worker.outputs.json.comparison import comparison_json
from worker.phantom.chest import Phantom, PhantomSpec, chest_phantom
from worker.phantom.dicom import write_series
from worker.recist.timepoints import State

SHRINKS, STAYS, GROWS, NEW = TRUE_TIMELINES


def read(comparison: Comparison) -> Outcome:
    return outcome_of(comparison_json(comparison))


def perfect_outcome(timeline: TrueTimeline, **changed: Any) -> LesionOutcome:  # noqa: ANN401  (a field of LesionOutcome)
    """Return the outcome that a perfect follow-up reports."""
    days = timeline.doubling_days
    before, after = timeline.before, timeline.after
    ends = (60.0, -400.0) if days is None else (60.0, 400.0) if days > 0 else (-200.0, -40.0)
    perfect = LesionOutcome(
        tracking_uid=timeline.name,
        name=timeline.name,
        event=Event.SAME if before else Event.NEW,
        state=State.PRESENT,
        before_ml=before.volume_ml if before else None,
        after_ml=after.volume_ml if after else None,
        percent=100 * (after.volume_ml / before.volume_ml - 1) if before and after else None,
        is_beyond_chance=days is not None if before else None,
        doubling=DoublingTime(days=days, fastest_days=ends[0], slowest_days=ends[1]) if before else None,
        other=None,
    )
    return replace(perfect, **changed)


def comparisons_of(*lesions: LesionOutcome) -> list[TimelineComparison]:
    """Return the comparisons if each true lesion was found at its place, with its name as tracking UID."""
    found: list[Any] = [
        SimpleNamespace(
            lesion=SimpleNamespace(centroid_mm=timeline.after.centre_mm, tracking_uid=timeline.name),
            measurement=SimpleNamespace(volume_ml=1.0, long_axis=SimpleNamespace(length_mm=1.0)),
        )
        for timeline in TRUE_TIMELINES
        if timeline.after
    ]
    later = cast(Findings, SimpleNamespace(findings=found, volume=SimpleNamespace(spacing=(3.0, 0.85, 0.85))))
    return compare_timelines(outcome_with(*lesions), later, TRUE_TIMELINES)


def outcome_with(*lesions: LesionOutcome) -> Outcome:
    return Outcome(
        statement=ComparisonStatus.COMPARED, reason=None, interval_days=INTERVAL_DAYS,
        registration="registration: rigid",
        lesions=lesions, response="PD", arithmetic=("sum 30.0 mm",),
    )  # fmt: skip


def printed(*parts: object) -> str:
    console = Console(file=io.StringIO(), width=200)
    for part in parts:
        console.print(part, highlight=False)
    return cast(io.StringIO, console.file).getvalue()


def test_the_patient_has_the_computed_volumes_and_doubling_times() -> None:
    assert [(visit.when.date().isoformat(), len(visit.spec.lesions)) for visit in VISITS] == [
        ("2026-02-02", 3), ("2026-05-04", 4),
    ]  # fmt: skip
    # 4/3 pi 10.5^3 = 4849.0 mm3, times 2^(91/120) = 1.69155.
    assert GROWS.after is not None
    assert GROWS.after.volume_ml == pytest.approx(8.2024, rel=1e-4)
    assert GROWS.doubling_days == pytest.approx(120.0)
    # 18 x 15 x 16 = 4320, 13.5 x 11.5 x 12 = 1863: 91 ln 2 / ln(1863 / 4320) = -75.0.
    assert SHRINKS.doubling_days == pytest.approx(-75.0, abs=0.05)
    assert STAYS.doubling_days is NEW.doubling_days is None


def test_the_comparison_is_read_from_findings_json() -> None:
    outcome = read(compared())

    assert outcome is not None
    assert (outcome.statement, outcome.interval_days) == (ComparisonStatus.COMPARED, 88)  # day 276 to day 364
    lesions = {lesion.tracking_uid: lesion for lesion in outcome.lesions}
    grown = lesions[uid(1)]
    # Balls of 27 and 30 mm: pi / 6 27^3 = 10306 mm3, 14137 mm3, +37.2 %.
    assert (grown.before_ml, grown.after_ml) == pytest.approx((10.306, 14.1372), abs=1e-3)
    assert grown.percent == pytest.approx(37.2, abs=0.05)
    assert grown.doubling is not None
    assert grown.doubling.allows(88 * 0.69315 / 0.31608)  # ln 2 / (3 ln(30 / 27))
    vanished = lesions[uid(4)]
    assert (vanished.event, vanished.state, vanished.after_ml) == (Event.VANISHED, State.VANISHED, None)
    assert vanished.before_ml == pytest.approx(0.1131, abs=1e-4)  # pi / 6 x 6^3
    assert lesions[uid(6)].other == lesions[uid(2)].name
    assert lesions[uid(5)].other == grown.name
    assert outcome.response == "PD"
    assert any("new lesion" in line for line in outcome.arithmetic)


def test_a_scan_without_a_comparison_has_a_reason() -> None:
    outcome = read(alone(ComparisonStatus.NOT_FETCHED, "no answer within 300 s"))

    assert outcome is not None
    assert list(outcome_lines(outcome)) == ["priors could not be fetched: no answer within 300 s"]


def test_a_perfect_follow_up_is_right() -> None:
    assert all(each.is_right for each in comparisons_of(*map(perfect_outcome, TRUE_TIMELINES)))


@pytest.mark.parametrize(
    ("timeline", "changed"),
    [
        (NEW, {"event": Event.SAME}),
        (GROWS, {"event": Event.NEW}),
        (GROWS, {"doubling": DoublingTime(days=300.0, fastest_days=200.0, slowest_days=500.0)}),
        (STAYS, {"doubling": DoublingTime(days=100.0, fastest_days=80.0, slowest_days=150.0)}),
        (SHRINKS, {"doubling": None}),
        (SHRINKS, {"tracking_uid": "another"}),
    ],
)
def test_each_deviation_from_the_ground_truth_is_wrong_or_missed(
    timeline: TrueTimeline, changed: dict[str, Any]
) -> None:
    lesions = [perfect_outcome(each, **(changed if each is timeline else {})) for each in TRUE_TIMELINES]
    (wrong,) = [each for each in comparisons_of(*lesions) if not each.is_right]

    assert wrong.truth is timeline
    table = printed(true_timeline_table(comparisons_of(*lesions)))
    assert (table.count("ok"), table.count("wrong") + table.count("missed")) == (3, 1)


def test_false_positives_are_marked() -> None:
    lesions = [*map(perfect_outcome, TRUE_TIMELINES), perfect_outcome(NEW, tracking_uid="x", name="lesion-9")]
    table = printed(outcome_table(outcome_with(*lesions), {"x"}))

    assert [line.split()[1] for line in table.splitlines() if FALSE_POSITIVE_MARK in line] == ["lesion-9"]
    assert "120 (60, 400)" in table


def test_the_tables_fit_a_terminal_of_80_columns() -> None:
    lesions = [
        perfect_outcome(timeline, name=f"lesion-{number}") for number, timeline in enumerate(TRUE_TIMELINES, start=9)
    ]
    for table in (outcome_table(outcome_with(*lesions), {"new"}), true_timeline_table(comparisons_of(*lesions))):
        rows = [line for line in printed(table).splitlines() if "│" in line]
        assert len(rows) == len(TRUE_TIMELINES)
        assert max(map(len, rows)) <= 80


def test_the_users_series_are_ordered_by_date(tmp_path: Path) -> None:
    phantom = chest_phantom(PhantomSpec(shape=(3, 48, 40), spacing_mm=(20.0, 8.0, 9.0), lesions=(), vessels_per_lung=0))
    write(phantom, tmp_path / "one" / "late", 2025)
    write(phantom, tmp_path / "one" / "early", 2023)
    write(phantom, tmp_path / "two", 2024)

    found = own_examinations([tmp_path / "one", tmp_path / "two"])

    assert [each.name for each in found] == ["scan-1", "scan-2", "scan-3"]
    assert [each.files[0].parent.name for each in found] == ["early", "two", "late"]
    assert {len(each.files) for each in found} == {3}
    assert {each.truth for each in found} == {None}


def write(phantom: Phantom, folder: Path, year: int) -> Sequence[Path]:
    return write_series(folder, phantom, f"scan of {year}", datetime(year, 3, 1, 9, 0))
