"""The whole course from reports that each know a part of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fixtures.worker.make_comparisons import FIVE_DAYS, STORY, Told, alone, compared, uid
from tests.fixtures.worker.make_courses import START
from tests.fixtures.worker.make_reports import key, report, window, write_report
from worker.follow_up.comparison import Comparison, Statement
from worker.follow_up.days import Days
from worker.outputs.json.comparison import comparison_json
from worker.outputs.json.read import NoTimeline, Report, read_report
from worker.outputs.json.recist import recist_json
from worker.timeline.model import TimelineForm, TimelineLesion
from worker.timeline.patient_timeline import course

GROWING = Told(number=1, seen={0: 20.0, 92: 22.0, 184: 24.0, 276: 27.0, 364: 30.0})


def pairs(folder: Path, days: tuple[int, ...] = FIVE_DAYS) -> list[Report]:
    """Each scan was compared with the one before it alone, the first with none."""
    first = report(folder, days[0], alone(Statement.NO_PRIOR))
    story = tuple(lesion for lesion in STORY if lesion.number in (1, 2))
    return [first, *(report(folder, days[n], window(days[n - 1 : n + 1], story)) for n in range(1, len(days)))]


def lesion(told: TimelineForm, number: int) -> TimelineLesion:
    return next(each for each in told["lesions"] if each["tracking_uid"] == uid(number))


def test_the_newest_report_alone_tells_the_course_that_it_knows(tmp_path: Path) -> None:
    made = compared()
    told = course([report(tmp_path, 364, made)])

    assert [point["day"] for point in told["time_points"]] == list(FIVE_DAYS)
    assert told["recist"] == json.loads(json.dumps(comparison_json(made)["recist"]))
    assert [point["statement"] for point in told["time_points"]] == [None] * 4 + ["compared with a prior"]
    assert [each["event"] for each in lesion(told, 4)["observations"]] == [None] * 4 + ["vanished"]
    assert [each["tracking_uid"] for each in told["lesions"]] == [uid(n) for n in (1, 2, 6, 3, 7, 4, 5)]


def test_reports_that_each_know_the_scan_before_make_one_course(tmp_path: Path) -> None:
    told = course(pairs(tmp_path), "a" * 64)

    assert [point["day"] for point in told["time_points"]] == list(FIVE_DAYS)
    assert [point["job_key"] for point in told["time_points"]] == [key(day) for day in FIVE_DAYS]
    growing = lesion(told, 1)["observations"]
    assert [each["day"] for each in growing] == list(FIVE_DAYS)
    assert [each["sizes"]["long_axis_mm"] for each in growing if each["sizes"]] == [20.0, 22.0, 24.0, 27.0, 30.0]
    changes = [each["change"] for each in growing if each["change"]]
    assert [change["since_day"] for change in changes] == [0, 92, 184, 276]  # each as its own report has it
    assert told["patient_key"] == "a" * 64


def test_the_response_over_such_a_course_is_that_of_the_whole(tmp_path: Path) -> None:
    told = course(pairs(tmp_path))
    whole = window(FIVE_DAYS, [each for each in STORY if each.number in (1, 2)]).recist
    assert whole is not None

    assert told["recist"] == recist_json(whole, Days(start=START))
    # 20 + 30 mm at first; the last report alone would take 27 + 16 mm for the baseline.
    assert told["recist"] is not None
    assert told["recist"]["baseline"]["sum_mm"] == 50.0
    assert [each["sum_mm"] for each in told["recist"]["assessments"]] == [48.0, 44.0, 43.0, 44.0]


def test_a_scan_that_was_compared_with_none_is_a_course_of_its_own(tmp_path: Path) -> None:
    reports = pairs(tmp_path)[:3]
    last = report(tmp_path, 276, alone(Statement.NOT_FETCHED, "the peer did not answer within 30 s"))

    told = course([*reports, last])

    (point,) = told["time_points"]
    assert (point["day"], point["series_uid"]) == (0, "1.2.2.276")
    assert (point["statement"], point["reason"]) == (
        "priors could not be fetched",
        "the peer did not answer within 30 s",
    )
    assert [each["name"] for each in told["lesions"]] == ["lesion-1", "lesion-2"]
    assert point["burden_ml"] == pytest.approx(6.171 + 0.405)  # 33 x 17 x 11 and 9 x 5 x 9 mm
    assert told["recist"] is not None
    first, second = (each["tracking_uid"] for each in told["lesions"])
    # 17 x 11 mm and, below 10 mm, 5 x 9 mm in their slices.
    assert (told["recist"]["baseline"]["targets"], told["recist"]["baseline"]["non_targets"]) == ([first], [second])


def test_a_course_ends_where_the_chain_of_comparisons_is_broken(tmp_path: Path) -> None:
    broken = pairs(tmp_path)
    broken[2] = report(tmp_path, 184, alone(Statement.NOT_FETCHED))

    told = course(broken)

    assert [point["series_uid"] for point in told["time_points"]] == ["1.2.2.184", "1.2.2.276", "1.2.2.364"]
    assert [point["day"] for point in told["time_points"]] == [0, 92, 180]


@pytest.mark.parametrize("comparison", [None, alone(Statement.NO_PRIOR)], ids=["none", "no prior"])
def test_a_report_without_time_points_is_the_first_of_its_course(tmp_path: Path, comparison: Comparison | None) -> None:
    told = course([report(tmp_path, 0, comparison)])

    assert [point["day"] for point in told["time_points"]] == [0]
    assert len(told["lesions"]) == 2
    assert {each["observations"][0]["state"] for each in told["lesions"]} == {"present"}


def test_a_part_stays_a_part_when_the_newest_report_says_no_more_of_it(tmp_path: Path) -> None:
    split = [
        Told(number=1, seen={0: 30.0, 90: 18.0, 180: 18.0}),
        Told(number=2, seen={90: 17.0, 180: 17.0}, split_from=1),
    ]
    later = [split[0], replace(split[1], split_from=None)]
    reports = [
        report(tmp_path, 90, window((0, 90), split)),
        report(tmp_path, 180, window((90, 180), later)),
    ]

    told = course(reports)

    assert lesion(told, 2)["split_from"] == uid(1)
    assert told["recist"] is not None
    assert [each["new_lesions"] for each in told["recist"]["assessments"]] == [[], []]
    assert told["recist"]["assessments"][-1]["sum_mm"] == 35.0


def test_without_a_report_there_is_no_course() -> None:
    with pytest.raises(NoTimeline, match="no scan of it is analysed"):
        course([])


def test_a_findings_json_of_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoTimeline, match=r"there is no findings\.json"):
        read_report(tmp_path / "findings.json")
    path = write_report(tmp_path, 0, None)
    path.write_text(path.read_text().replace('"schema_version": 3', '"schema_version": 2'))

    with pytest.raises(NoTimeline, match="has schema_version 2, 3 is needed"):
        read_report(path)
