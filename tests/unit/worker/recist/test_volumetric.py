from __future__ import annotations

import pytest

from tests.fixtures.worker.make_courses import at, gone, hidden, lesion, merged, part
from worker.recist.assessment import assess_timeline
from worker.recist.response import Response
from worker.recist.volumetric import volumetric_response

THERASSE_2000 = "volumes of balls: RECIST 1.0, Therasse et al., J Natl Cancer Inst 2000;92:205, appendix II"


@pytest.mark.parametrize(
    ("sum_ml", "earlier", "response"),
    [
        (3.43, [10.0], "PR"),  # 0.7^3: just -65.7 %
        (1.4063, [4.1], "PR"),  # exactly the limit, though 0.343 x 4.1 is slightly less in floating point
        (3.44, [10.0], "SD"),
        (17.28, [10.0], "PD"),  # 1.2^3: just +72.8 %
        (11.9232, [6.9], "PD"),  # exactly the limit, though 1.728 x 6.9 is slightly more in floating point
        (17.27, [10.0], "SD"),
        (0.0, [10.0], "CR"),
        (1.0, [10.0, 0.5], "PD"),  # +100 % from the nadir, -90 % from the baseline
        (0.8, [10.0, 0.5], "PR"),
        (0.1, [10.0, 0.0], "PD"),  # any volume exceeds a nadir of 0
        (0.0, [10.0, 0.0], "CR"),
        (1.0, [10.0, None, 2.0], "PR"),
    ],
)
def test_volumetric_response(sum_ml: float, earlier: list[float | None], response: str) -> None:
    assert volumetric_response(sum_ml, earlier).response == response, THERASSE_2000


@pytest.mark.parametrize(("sum_ml", "earlier"), [(None, [10.0]), (5.0, [None]), (None, [None])])
def test_a_missing_volume_is_not_evaluable(sum_ml: float | None, earlier: list[float | None]) -> None:
    result = volumetric_response(sum_ml, earlier)

    assert (result.response, result.from_baseline_percent, result.from_nadir_percent) == (Response.NE, None, None)
    assert "not part of RECIST" in result.basis


def test_a_sphere_has_the_same_response_by_diameter_and_by_volume() -> None:
    for later_mm in (15.0, 20.9, 21.0, 21.1, 30.0, 35.9, 36.0, 40.0):
        balls = [lesion("a", mm, 0.0005 * mm**3) for mm in (30.0, later_mm)]
        (assessment,) = assess_timeline(at(60 * n, ball) for n, ball in enumerate(balls)).assessments
        assert assessment.volumetric.response is assessment.by_targets, THERASSE_2000


def test_the_responses_by_volume_and_diameter_may_differ() -> None:
    # A lesion that grows along the spine: the axial long axis stays.
    timeline = assess_timeline([at(0, lesion("a", 30, 10.0)), at(60, lesion("a", 31, 19.0))])

    (assessment,) = timeline.assessments
    assert (assessment.response, assessment.volumetric.response) == (Response.SD, Response.PD)
    assert (assessment.volumetric.from_baseline_percent, assessment.volumetric.nadir_ml) == (90.0, 10.0)


def test_volumes_follow_lesions_that_merge_split_and_vanish() -> None:
    timeline = assess_timeline([
        at(0, lesion("a", 30, 9.0), lesion("b", 20, 3.0)),
        at(60, lesion("a", 44, 14.0), merged("b", "a")),
        at(120, lesion("a", 20, 2.0), part("p", 10, of="a", volume_ml=0.5)),
        at(180, gone("a"), gone("p")),
        at(240, hidden("a"), gone("p")),
    ])  # fmt: skip

    assert [each.volumetric.sum_ml for each in timeline.assessments] == [14.0, 2.5, 0.0, None]
    assert [each.volumetric.response for each in timeline.assessments] == ["SD", "PR", "CR", "NE"]
