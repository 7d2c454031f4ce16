"""The comparison as JSON: numbers checked by hand, days instead of dates, conformance to the schema."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from tests.fixtures.worker.make_comparisons import STORY, LesionSpec, alone, ball, compared, uid
from tests.fixtures.worker.make_courses import START
from worker.follow_up.burden import burden_at
from worker.follow_up.comparison import Comparison, ComparisonStatus
from worker.outputs.days import Days
from worker.outputs.json.comparison import comparison_json
from worker.outputs.json.comparison_model import ComparisonJson
from worker.outputs.json.schema import schema_text
from worker.recist.timepoints import State

FROM_START = Days(start=START)


def as_json_values(comparison: Comparison) -> Any:  # noqa: ANN401  (a JSON value)
    return comparison_json(comparison).as_json()


def lesion(comparison: Comparison, number: int) -> Any:  # noqa: ANN401
    return next(each for each in as_json_values(comparison)["lesions"] if each["tracking_uid"] == uid(number))


SCHEMA = json.loads(schema_text(ComparisonJson))


def test_time_points_are_days_since_the_first_scan() -> None:
    points = as_json_values(compared())["time_points"]

    assert [point["day"] for point in points] == [0, 92, 184, 276, 364]
    assert [point["series_uid"] for point in points][::4] == ["1.2.2.0", "1.2.2.364"]
    assert [point["report_uid"] for point in points][3:] == ["1.2.6.276", None]


def test_an_observation_has_the_sizes_of_the_ball_with_their_intervals() -> None:
    first, second, *_ = lesion(compared(), 1)["observations"]

    assert (first["day"], first["state"], second["day"]) == (0, "present", 92)
    assert first["sizes"]["volume_ml"] == pytest.approx(math.pi / 6 * 20**3 / 1000, abs=1e-4)
    assert first["sizes"]["long_axis_mm"] == 20.0
    low, high = first["sizes"]["long_axis_mm_95"]
    assert low < 20 < high


def test_a_change_has_amount_growth_and_significance() -> None:
    change = lesion(compared(), 1)["change"]

    # 27 to 30 mm in 88 days: (30 / 27)^3 = 1.3717, doubled after 88 ln 2 / ln 1.3717 = 193 days.
    assert (change["since_day"], change["interval_days"]) == (276, 88)
    assert change["volume"]["percent"] == pytest.approx(37.17, abs=0.01)
    assert change["long_axis"]["absolute_mm"] == 3.0
    assert change["volume"]["is_beyond_chance"] is True
    assert change["growth"]["doubling_days"] == pytest.approx(192.98, abs=0.2)
    assert [each["guideline"] for each in change["guidelines"] if each["is_met"]] == [
        "Lung-RADS v2022",
        "Fleischner 2017",
        "BTS 2015",
        "NELSON",
    ]


def test_events_and_relations_are_named() -> None:
    comparison = compared()

    assert (lesion(comparison, 6)["event"], lesion(comparison, 6)["split_from"]) == ("split", uid(2))
    assert (lesion(comparison, 7)["event"], lesion(comparison, 7)["possible_match"]) == ("new", uid(4))
    assert lesion(comparison, 4)["event"] == "vanished"
    assert lesion(comparison, 4)["observations"][-1] == {"day": 364, "state": "vanished", "sizes": None}
    assert lesion(comparison, 5)["merged_into"] == uid(1)
    assert lesion(comparison, 4)["change"] is None


def test_the_burden_is_the_sum_of_the_volumes_of_each_scan() -> None:
    points = as_json_values(compared())["time_points"]

    by_hand = {0: (20, 30, 12, 10), 92: (22, 26, 10, 11), 184: (24, 20, 8), 276: (27, 16, 8, 6), 364: (30, 14, 9, 9, 7)}
    for point in points:
        cubes = sum(diameter**3 for diameter in by_hand[point["day"]])
        assert point["burden_ml"] == pytest.approx(math.pi / 6 * cubes / 1000, abs=1e-3)
    assert all(point["is_burden_complete"] for point in points)


@pytest.mark.parametrize("state", [State.NOT_EVALUABLE, State.TOO_SMALL, State.DOUBTFUL])
def test_a_burden_without_the_volume_of_a_lesion_is_incomplete(state: State) -> None:
    comparison = compared(
        [LesionSpec(number=1, seen={0: 20.0, 90: state}), LesionSpec(number=2, seen={0: 10.0, 90: 10.0})], (0, 90)
    )

    burden = burden_at(comparison, comparison.scans[-1].date)

    assert burden.volume_ml == pytest.approx(ball(10.0).volume_ml)
    assert not burden.is_complete


def test_recist_has_targets_sums_nadir_response_and_the_arithmetic() -> None:
    # 50 mm at first, 40 (-20 %), 30 (-40 %), 37 mm: +23.3 % and +7 mm from the nadir.
    comparison = compared(
        [
            LesionSpec(number=1, seen={0: 30.0, 90: 25.0, 180: 20.0, 270: 25.0, 360: 25.0}),
            LesionSpec(number=2, seen={0: 20.0, 90: 15.0, 180: 10.0, 270: 12.0, 360: 12.0}),
        ],
        (0, 90, 180, 270, 360),
    )
    recist = as_json_values(comparison)["recist"]

    assert recist["baseline"]["targets"] == [uid(1), uid(2)]
    assert recist["baseline"]["sum_mm"] == 50.0
    assert [each["response"] for each in recist["assessments"]] == ["SD", "PR", "PD", "PD"]
    progressed = recist["assessments"][2]
    assert (progressed["day"], progressed["nadir_mm"], progressed["from_nadir_mm"]) == (270, 30.0, 7.0)
    assert progressed["from_nadir_percent"] == pytest.approx(23.33)
    assert progressed["volumetric"]["response"] == "PD"
    assert recist["progressed_on_day"] == 270
    assert "progression was proposed on day 270: RECIST 1.1 follows no further" in recist["assessments"][3]["basis"]


def test_the_comparison_has_no_date() -> None:
    comparison = replace(compared(), reason="the scan of 2024-04-02 and that of 20240701 have no lungs")

    text = comparison_json(comparison).model_dump_json()

    assert "the scan of day 92 and that of day 182 have no lungs" in text
    assert not re.search(r"20\d\d-?[01]\d-?[0-3]\d", text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a scan of 2024-01-01.", "a scan of day 0."),
        ("1.2.840.20240101.5 and 120240101", "1.2.840.20240101.5 and 120240101"),
        ("on 2024-02-30", "on a day"),
        ("2 scans, 92 days, 20.5 mm", "2 scans, 92 days, 20.5 mm"),
    ],
)
def test_dates_in_texts_become_days_and_other_numbers_stay(before: str, after: str) -> None:
    assert FROM_START.replace_dates(before) == after


def test_days_need_a_first_scan() -> None:
    nothing = Days(start=None)

    assert nothing.replace_dates("on 2024-01-01") == "on a day"
    with pytest.raises(ValueError, match="no first scan"):
        nothing.of(date(2024, 1, 1))


COMPARISONS = {
    "story": compared(),
    "first": replace(compared(STORY[:2], (0,)), recist=None, registration=None),
    "same day": compared([LesionSpec(number=1, seen={0: 20.0, 1: 20.0})], (0, 1)),
    "nothing": compared([], (0, 90)),
    **{statement.name: alone(statement, "2 peers did not answer within 30 s") for statement in ComparisonStatus},
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_the_comparison_conforms_to_the_schema(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")

    errors = jsonschema.Draft202012Validator(SCHEMA).iter_errors(as_json_values(COMPARISONS[name]))

    assert [f"{list(error.path)}: {error.message}" for error in errors] == []


@pytest.mark.parametrize(
    "corrupt",
    [
        lambda comparison: comparison.update(statement="unchanged"),
        lambda comparison: comparison.pop("registration"),
        lambda comparison: comparison["time_points"][0].update(date="2024-01-01"),
        lambda comparison: comparison["time_points"][0].update(day=-1),
        lambda comparison: comparison["lesions"][0]["observations"][0].update(state="seen"),
        lambda comparison: comparison["lesions"][0]["observations"][0]["sizes"].pop("volume_ml"),
        lambda comparison: comparison["lesions"][0]["change"]["guidelines"][0].update(is_met="yes"),
        lambda comparison: comparison["recist"]["assessments"][0].update(response="XX"),
    ],
)
def test_the_schema_rejects_invalid_values(corrupt: Callable[[Any], object]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    comparison = as_json_values(compared())
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert validator.is_valid(comparison)

    corrupt(comparison)

    assert not validator.is_valid(comparison)
