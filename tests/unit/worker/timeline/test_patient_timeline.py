"""The whole timeline from reports that each cover a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.worker.make_comparisons import FIVE_DAYS, STORY, LesionSpec, alone, compared, uid
from tests.fixtures.worker.make_courses import START
from tests.fixtures.worker.make_reports import key, report, window, write_report
from worker.follow_up.comparison import ComparisonStatus
from worker.outputs.days import Days
from worker.outputs.json.comparison import comparison_json
from worker.outputs.json.read import UnreadableFindings, read_findings
from worker.outputs.json.recist import recist_json
from worker.timeline.model import NoTimeline
from worker.timeline.patient_timeline import build_timeline
from worker.timeline.scan_report import ScanReport

GROWING = LesionSpec(number=1, seen={0: 20.0, 92: 22.0, 184: 24.0, 276: 27.0, 364: 30.0})


def pairwise_reports(folder: Path, days: tuple[int, ...] = FIVE_DAYS) -> list[ScanReport]:
    """Reports of scans that were each compared with only the previous one, the first with none."""
    first = report(folder, days[0], alone(ComparisonStatus.NO_PRIOR))
    story = tuple(lesion for lesion in STORY if lesion.number in (1, 2))
    return [first, *(report(folder, days[n], window(days[n - 1 : n + 1], story)) for n in range(1, len(days)))]


def timeline_of(reports: Sequence[ScanReport], patient_key: str | None = None) -> Any:  # noqa: ANN401  (a JSON value)
    return build_timeline(reports, patient_key).as_json()


def lesion(timeline: Any, number: int) -> Any:  # noqa: ANN401
    return next(each for each in timeline["lesions"] if each["tracking_uid"] == uid(number))


def test_a_single_report_gives_the_timeline_of_its_comparison(tmp_path: Path) -> None:
    comparison = compared()
    timeline = timeline_of([report(tmp_path, 364, comparison)])

    assert [point["day"] for point in timeline["time_points"]] == list(FIVE_DAYS)
    assert timeline["recist"] == comparison_json(comparison).as_json()["recist"]
    assert [point["statement"] for point in timeline["time_points"]] == [None] * 4 + ["compared with a prior"]
    assert [each["event"] for each in lesion(timeline, 4)["observations"]] == [None] * 4 + ["vanished"]
    assert [each["tracking_uid"] for each in timeline["lesions"]] == [uid(n) for n in (1, 2, 6, 3, 7, 4, 5)]


def test_reports_that_each_cover_the_previous_scan_are_joined(tmp_path: Path) -> None:
    timeline = timeline_of(pairwise_reports(tmp_path), "a" * 64)

    assert [point["day"] for point in timeline["time_points"]] == list(FIVE_DAYS)
    assert [point["job_key"] for point in timeline["time_points"]] == [key(day) for day in FIVE_DAYS]
    growing = lesion(timeline, 1)["observations"]
    assert [each["day"] for each in growing] == list(FIVE_DAYS)
    assert [each["sizes"]["long_axis_mm"] for each in growing if each["sizes"]] == [20.0, 22.0, 24.0, 27.0, 30.0]
    changes = [each["change"] for each in growing if each["change"]]
    assert [change["since_day"] for change in changes] == [0, 92, 184, 276]  # each from the report of its scan
    assert timeline["patient_key"] == "a" * 64


def test_the_response_of_joined_reports_is_that_of_the_whole_timeline(tmp_path: Path) -> None:
    timeline = timeline_of(pairwise_reports(tmp_path))
    whole = window(FIVE_DAYS, [each for each in STORY if each.number in (1, 2)]).recist
    assert whole is not None

    assert timeline["recist"] == recist_json(whole, Days(start=START)).as_json()
    # 20 + 30 mm at first; the last report alone would take 27 + 16 mm for the baseline.
    assert timeline["recist"] is not None
    assert timeline["recist"]["baseline"]["sum_mm"] == 50.0
    assert [each["sum_mm"] for each in timeline["recist"]["assessments"]] == [48.0, 44.0, 43.0, 44.0]


def test_a_scan_without_a_comparison_is_a_timeline_of_one_scan(tmp_path: Path) -> None:
    reports = pairwise_reports(tmp_path)[:3]
    last = report(tmp_path, 276, alone(ComparisonStatus.NOT_FETCHED, "the peer did not answer within 30 s"))

    timeline = timeline_of([*reports, last])

    (point,) = timeline["time_points"]
    assert (point["day"], point["series_uid"]) == (0, "1.2.2.276")
    assert (point["statement"], point["reason"]) == (
        "priors could not be fetched",
        "the peer did not answer within 30 s",
    )
    assert [each["name"] for each in timeline["lesions"]] == ["lesion-1", "lesion-2"]
    assert point["burden_ml"] == pytest.approx(6.171 + 0.405)  # 33 x 17 x 11 and 9 x 5 x 9 mm
    assert timeline["recist"] is not None
    first, second = (each["tracking_uid"] for each in timeline["lesions"])
    # 17 x 11 mm and, below 10 mm, 5 x 9 mm in their slices.
    assert (timeline["recist"]["baseline"]["targets"], timeline["recist"]["baseline"]["non_targets"]) == (
        [first],
        [second],
    )


def test_a_timeline_begins_where_the_chain_of_comparisons_is_broken(tmp_path: Path) -> None:
    reports = pairwise_reports(tmp_path)
    reports[2] = report(tmp_path, 184, alone(ComparisonStatus.NOT_FETCHED))

    timeline = timeline_of(reports)

    assert [point["series_uid"] for point in timeline["time_points"]] == ["1.2.2.184", "1.2.2.276", "1.2.2.364"]
    assert [point["day"] for point in timeline["time_points"]] == [0, 92, 180]


@pytest.mark.parametrize("status", [ComparisonStatus.NOT_QUERIED, ComparisonStatus.NO_PRIOR])
def test_a_report_without_time_points_is_the_first_of_its_timeline(tmp_path: Path, status: ComparisonStatus) -> None:
    timeline = timeline_of([report(tmp_path, 0, alone(status))])

    assert [point["day"] for point in timeline["time_points"]] == [0]
    assert len(timeline["lesions"]) == 2
    assert {each["observations"][0]["state"] for each in timeline["lesions"]} == {"present"}


def test_a_split_lesion_remains_a_part_if_the_newest_report_does_not_mention_it(tmp_path: Path) -> None:
    split = [
        LesionSpec(number=1, seen={0: 30.0, 90: 18.0, 180: 18.0}),
        LesionSpec(number=2, seen={90: 17.0, 180: 17.0}, split_from=1),
    ]
    later = [split[0], replace(split[1], split_from=None)]
    reports = [
        report(tmp_path, 90, window((0, 90), split)),
        report(tmp_path, 180, window((90, 180), later)),
    ]

    timeline = timeline_of(reports)

    assert lesion(timeline, 2)["split_from"] == uid(1)
    assert timeline["recist"] is not None
    assert [each["new_lesions"] for each in timeline["recist"]["assessments"]] == [[], []]
    assert timeline["recist"]["assessments"][-1]["sum_mm"] == 35.0


def test_without_a_report_there_is_no_timeline() -> None:
    with pytest.raises(NoTimeline, match="the patient has no analysed scan"):
        build_timeline([])


def test_a_findings_json_that_does_not_conform_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFindings, match=r"there is no findings\.json"):
        read_findings(tmp_path / "findings.json")
    path = write_report(tmp_path, 0, alone(ComparisonStatus.NOT_QUERIED))
    written = path.read_text()
    for before, after, reason in (
        ('"schema_version": 5', '"schema_version": 2', "has schema_version 2, 5 is needed"),
        ('"slices": ', '"slices": -', "slices: Input should be greater than or equal to 1"),
        ("{", "", "holds no JSON object"),
    ):
        path.write_text(written.replace(before, after, 1))
        with pytest.raises(UnreadableFindings, match=reason):
            read_findings(path)
