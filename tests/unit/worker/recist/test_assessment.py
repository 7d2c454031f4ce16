from __future__ import annotations

from datetime import date
from itertools import permutations

import pytest

from tests.fixtures.worker.make_courses import at, day, doubtful, gone, hidden, lesion, merged, part, too_small
from worker.recist.assessment import Assessment, ResponseTimeline, assess_timeline
from worker.recist.basis import DatedLine
from worker.recist.response import Response
from worker.recist.rules import NonTargets
from worker.recist.timepoints import TimePoint, TrackedLesion

TARGETS = "CR, PR, PD, SD by the targets: Eisenhauer 2009, 4.3.1"
TABLE_1 = "all lesions together: Eisenhauer 2009, table 1"
TABLE_2 = "non-target lesions alone: Eisenhauer 2009, table 2"
NEW_LESIONS = "new lesions: Eisenhauer 2009, 4.3.5"
MISSING = "missing assessments: Eisenhauer 2009, 4.4.2"
SPECIAL_NOTES = "too small, split, merged: Eisenhauer 2009, 4.3.2"
RETURNED = (
    "a lesion disappears and reappears: Eisenhauer 2009, appendix III; EORTC, Does a new lesion always result in PD?"
)
LASTING = "EORTC: Managing PR when TP measurements change slightly over time"


def assessed(*points: TimePoint) -> Assessment:
    return assess_timeline(points).assessments[-1]


def responses(timeline: ResponseTimeline) -> list[str]:
    return [str(each.response) for each in timeline.assessments]


def one_target(*long_axes_mm: float) -> ResponseTimeline:
    """One target, every 60 days."""
    return assess_timeline(at(60 * n, lesion("a", mm) if mm else gone("a")) for n, mm in enumerate(long_axes_mm))


@pytest.mark.parametrize(
    ("baseline_mm", "later_mm", "response"),
    [
        (72.0, 48.0, "PR"),
        (72.0, 50.4, "PR"),  # just -30 %
        (72.0, 50.5, "SD"),  # -29.86 %
        (72.0, 72.0, "SD"),
        (50.0, 60.0, "PD"),  # just +20 %
        (50.0, 59.9, "SD"),
        (25.0, 30.0, "PD"),  # just +20 % and 5 mm
        (24.0, 28.9, "SD"),  # +20.4 %, 4.9 mm
        (24.0, 29.0, "PD"),  # +20.8 %, 5 mm
        (30.0, 35.0, "SD"),  # 5 mm, +16.7 %
        (20.0, 0.0, "CR"),
        (10.0, 5.0, "PR"),
    ],
)
def test_response_by_the_targets(baseline_mm: float, later_mm: float, response: str) -> None:
    assert responses(one_target(baseline_mm, later_mm)) == [response], TARGETS


@pytest.mark.parametrize("tenths", range(100, 1000, 10))
def test_minus_30_percent_is_a_partial_response_and_a_tenth_of_a_millimetre_more_is_not(tenths: int) -> None:
    baseline_mm, later_mm = tenths / 10, 7 * tenths / 100

    assert responses(one_target(baseline_mm, later_mm)) == ["PR"], TARGETS
    assert responses(one_target(baseline_mm, later_mm + 0.1)) == ["SD"], TARGETS


@pytest.mark.parametrize("tenths", range(250, 1000, 10))
def test_plus_20_percent_is_progression_and_a_tenth_of_a_millimetre_less_is_not(tenths: int) -> None:
    baseline_mm, later_mm = tenths / 10, 12 * tenths / 100

    assert responses(one_target(baseline_mm, later_mm)) == ["PD"], TARGETS
    assert responses(one_target(baseline_mm, later_mm - 0.1)) == ["SD"], TARGETS


def test_progression_is_judged_from_the_smallest_sum_and_not_from_the_baseline() -> None:
    timeline = one_target(100, 60, 55, 66)

    # 66 is -34 % from the baseline, and +20 % and 11 mm from 55.
    assert responses(timeline) == ["PR", "PR", "PD"], TARGETS
    last = timeline.assessments[-1]
    assert (last.nadir_mm, last.from_nadir_percent, last.from_nadir_mm) == (55.0, 20.0, 11.0)
    assert last.from_baseline_percent == -34.0
    assert timeline.progressed_on == day(180)


def test_the_nadir_is_the_baseline_until_the_sum_falls_below_it() -> None:
    timeline = one_target(50, 55, 59, 60)

    assert [each.nadir_mm for each in timeline.assessments] == [50.0, 50.0, 50.0]
    assert responses(timeline) == ["SD", "SD", "PD"], TARGETS


def test_the_nadir_ignores_incomplete_time_points() -> None:
    last = assessed(
        at(0, lesion("a", 40), lesion("b", 30)), at(60, lesion("a", 10), hidden("b")),
        at(120, lesion("a", 40), lesion("b", 30)),
    )  # fmt: skip

    assert (last.nadir_mm, last.response) == (70.0, Response.SD), MISSING


def test_an_unconfirmed_response_ends_above_minus_30_percent() -> None:
    assert responses(one_target(100, 70, 80)) == ["PR", "SD"], TARGETS


def test_a_confirmed_partial_response_lasts_until_progression() -> None:
    # The example of the EORTC: 100, 70, 70, 80, 80, 80; then 84, +20 % of 70.
    timeline = one_target(100, 70, 70, 80, 80, 80, 84)

    assert responses(timeline) == ["PR", "PR", "PR", "PR", "PR", "PD"], LASTING
    assert [each.by_targets for each in timeline.assessments][2] is Response.SD
    reason = "targets SD, but a response confirmed on {date} lasts until progression: PR"
    assert DatedLine(text=reason, on=date(2024, 4, 30)) in timeline.assessments[2].basis


def test_a_confirmed_partial_response_does_not_come_back_after_progression() -> None:
    assert responses(one_target(100, 70, 70, 84, 80)) == ["PR", "PR", "PD", "SD"], LASTING


@pytest.mark.parametrize(("days", "response"), [(27, "SD"), (28, "PR")])
def test_a_response_is_confirmed_after_four_weeks(days: int, response: str) -> None:
    points = [
        at(0, lesion("a", 100)),
        at(60, lesion("a", 70)),
        at(60 + days, lesion("a", 70)),
        at(200, lesion("a", 80)),
    ]

    assert responses(assess_timeline(points)) == ["PR", "PR", response], LASTING


def test_a_response_is_confirmed_across_a_time_point_that_is_not_evaluable_and_not_across_stable_disease() -> None:
    across_ne = assess_timeline([at(0, lesion("a", 100)), at(30, lesion("a", 70)), at(60, hidden("a")),
                           at(90, lesion("a", 70)), at(120, lesion("a", 80))])  # fmt: skip

    assert responses(across_ne) == ["PR", "NE", "PR", "PR"], LASTING
    assert responses(one_target(100, 70, 80, 70, 80)) == ["PR", "SD", "PR", "SD"], LASTING


def test_a_new_lesion_alone_is_progression() -> None:
    timeline = assess_timeline([at(0, lesion("a", 50)), at(60, lesion("a", 20), lesion("n", 6))])

    (assessment,) = timeline.assessments
    assert (assessment.response, assessment.by_targets) == (Response.PD, Response.PR), NEW_LESIONS
    assert assessment.new_lesions == ("n",)
    assert timeline.progressed_on == day(60)
    assert "new lesion, if it is unequivocal: PD" in assessment.basis


def test_a_new_lesion_too_small_to_measure_is_a_new_lesion() -> None:
    assert assessed(at(0, lesion("a", 50)), at(60, lesion("a", 50), too_small("n"))).response is Response.PD


def test_a_new_lesion_is_progression_even_if_the_targets_are_not_evaluable() -> None:
    assert assessed(at(0, lesion("a", 50)), at(60, hidden("a"), lesion("n", 9))).response is Response.PD, TABLE_1


def test_a_doubtful_lesion_is_not_counted_and_if_confirmed_progression_dates_from_its_first_scan() -> None:
    points = [
        at(0, lesion("a", 50)),
        at(30, lesion("a", 50), doubtful("m", 4)),
        at(60, lesion("a", 50), doubtful("n", 4)),
        at(120, lesion("a", 50), doubtful("n", 5)),
        at(180, lesion("a", 50), lesion("n", 9)),
    ]

    unconfirmed, confirmed = assess_timeline(points[:-1]), assess_timeline(points)
    assert (responses(unconfirmed), unconfirmed.progressed_on) == (["SD", "SD", "SD"], None), NEW_LESIONS
    assert "doubtful, not counted as new: n" in unconfirmed.assessments[1].basis
    assert (responses(confirmed), confirmed.progressed_on) == (["SD", "SD", "SD", "PD"], day(60)), NEW_LESIONS


def test_complete_response_requires_every_target_to_vanish() -> None:
    first = at(0, lesion("a", 30), lesion("b", 20))

    assert assessed(first, at(60, gone("a"), gone("b"))).response is Response.CR, TARGETS
    assert assessed(first, at(60, gone("a"), too_small("b"))).response is Response.PR, SPECIAL_NOTES


def with_non_target() -> TimePoint:
    return at(0, lesion("a", 30), lesion("c", 8))


@pytest.mark.parametrize(
    ("target_mm", "other", "non_targets", "response"),
    [
        (0, gone("c"), NonTargets.ABSENT, "CR"),
        (0, lesion("c", 7), NonTargets.PRESENT, "PR"),
        (0, too_small("c"), NonTargets.PRESENT, "PR"),
        (0, hidden("c"), NonTargets.NOT_EVALUATED, "PR"),
        (20, lesion("c", 8), NonTargets.PRESENT, "PR"),
        (20, hidden("c"), NonTargets.NOT_EVALUATED, "PR"),
        (30, hidden("c"), NonTargets.NOT_EVALUATED, "SD"),
        (30, gone("c"), NonTargets.ABSENT, "SD"),
        (40, gone("c"), NonTargets.ABSENT, "PD"),
    ],
)
def test_targets_and_non_targets_together(
    target_mm: float, other: TrackedLesion, non_targets: NonTargets, response: str
) -> None:
    target = lesion("a", target_mm) if target_mm else gone("a")
    assessment = assessed(with_non_target(), at(60, target, other))

    assert (assessment.non_targets, str(assessment.response)) == (non_targets, response), TABLE_1


def test_a_growing_non_target_is_never_progression() -> None:
    assert assessed(with_non_target(), at(60, lesion("a", 30), lesion("c", 80))).response is Response.SD


def test_a_target_that_is_not_evaluable_makes_the_time_point_not_evaluable() -> None:
    first = at(0, lesion("a", 30), lesion("b", 20))
    assessment = assessed(first, at(60, lesion("a", 10), hidden("b")))

    assert (assessment.response, assessment.by_targets) == (Response.NE, Response.NE), MISSING
    assert assessment.from_baseline_percent is assessment.from_nadir_percent is assessment.from_nadir_mm is None
    assert assessment.basis[:2] == (
        "targets: a 10.0 + b not evaluable",
        "sum at least 10.0 mm, a target is not evaluable: NE",
    )


def test_a_target_that_is_not_listed_is_not_evaluable() -> None:
    assert assessed(at(0, lesion("a", 30)), at(60)).response is Response.NE, MISSING


def test_targets_that_progress_without_the_missing_one_are_progression() -> None:
    # The example of Eisenhauer 2009, 4.4.2: 50 mm in three lesions, then 80 mm in two of them.
    organs = ("lung", "lung", "liver")
    first = at(0, *(lesion(uid, mm, organ=organ) for uid, mm, organ in zip("abc", (20, 15, 15), organs, strict=True)))
    assessment = assessed(first, at(60, lesion("a", 45), lesion("b", 35)))

    assert assessment.response is Response.PD, MISSING
    assert assessment.basis[1] == "sum at least 80.0 mm, nadir 50.0 mm: +60.0 % and +30.0 mm: PD"


def test_a_lesion_that_returns_after_a_complete_response_is_progression() -> None:
    points = [at(0, lesion("a", 30)), at(60, gone("a")), at(120, lesion("a", 4))]

    assert responses(assess_timeline(points)) == ["CR", "PD"], RETURNED
    assert "a lesion returned after a complete response: PD" in assess_timeline(points).assessments[1].basis
    assert responses(assess_timeline([*points[:2], at(90, hidden("a")), points[2]])) == ["CR", "NE", "PD"], RETURNED


def test_a_non_target_that_returns_after_a_complete_response_is_progression() -> None:
    points = [with_non_target(), at(60, gone("a"), gone("c")), at(120, gone("a"), lesion("c", 5))]

    assert responses(assess_timeline(points)) == ["CR", "PD"], RETURNED


def test_a_lesion_that_returns_without_a_complete_response_only_adds_to_the_sum() -> None:
    first, second = at(0, lesion("a", 60), lesion("b", 20)), at(60, lesion("a", 40), gone("b"))

    # 40 + 7 = 47: +17.5 % from 40; 40 + 8 = 48: +20 % and 8 mm.
    assert responses(assess_timeline([first, second, at(120, lesion("a", 40), lesion("b", 7))])) == ["PR", "PR"], (
        RETURNED
    )
    assert responses(assess_timeline([first, second, at(120, lesion("a", 40), lesion("b", 8))])) == ["PR", "PD"], (
        RETURNED
    )


@pytest.mark.parametrize(("returned_mm", "response"), [(4.9, "PR"), (5.0, "PD")])
def test_from_a_nadir_of_0_mm_progression_takes_5_mm(returned_mm: float, response: str) -> None:
    """Targets vanished, a non-target present: a partial response, and a nadir of 0."""
    points = [with_non_target(), at(60, gone("a"), lesion("c", 8)), at(80, lesion("a", returned_mm), lesion("c", 8))]

    assert responses(assess_timeline(points)) == ["PR", response], RETURNED


def test_targets_that_merge_are_judged_by_one_long_axis() -> None:
    points = [at(0, lesion("a", 30), lesion("b", 20)), at(60, lesion("a", 35), merged("b", "a"))]
    grown = [*points, at(120, lesion("a", 42))]

    assert responses(assess_timeline(points)) == ["PR"], SPECIAL_NOTES  # 35 of 50 is just -30 %
    assert responses(assess_timeline(grown)) == ["PR", "PD"], SPECIAL_NOTES  # 42 is +20 % of 35


def test_a_lesion_merged_from_known_ones_is_not_new() -> None:
    points = [at(0, lesion("a", 30), lesion("b", 20)), at(60, merged("a", "m"), merged("b", "m"), lesion("m", 52))]

    assessment = assessed(*points)
    assert (assessment.response, assessment.total.sum_mm, assessment.new_lesions) == (Response.SD, 52.0, ())


def test_the_parts_of_a_split_target_are_not_new_lesions() -> None:
    points = [
        at(0, lesion("a", 40)),
        at(60, lesion("a", 18), part("p", 12, of="a")),
        at(120, lesion("a", 18), lesion("p", 14)),
        at(180, lesion("a", 20), lesion("p", 16)),
    ]

    # 30 is -25 %; 32 is -20 %; 36 is +20 % and 6 mm from 30.
    assert responses(assess_timeline(points)) == ["SD", "SD", "PD"], SPECIAL_NOTES
    assert all(each.new_lesions == () for each in assess_timeline(points).assessments)


def test_parts_of_a_split_non_target_are_not_new_and_parts_of_a_new_lesion_are() -> None:
    known = assessed(with_non_target(), at(60, lesion("a", 30), lesion("c", 5), part("p", 3, of="c")))
    new = assessed(with_non_target(), at(60, lesion("a", 30), lesion("c", 8), lesion("n", 8), part("p", 3, of="n")))

    assert (known.response, known.new_lesions) == (Response.SD, ())
    assert new.new_lesions == ("n", "p")


def test_a_non_target_is_absent_only_when_all_its_parts_are() -> None:
    split = at(60, gone("a"), lesion("c", 5), part("p", 3, of="c"))

    assert assessed(with_non_target(), split, at(120, gone("a"), gone("c"), lesion("p", 3))).response is Response.PR
    assert assessed(with_non_target(), split, at(120, gone("a"), gone("c"), gone("p"))).response is Response.CR


def test_non_targets_merged_into_each_other_are_not_evaluated() -> None:
    first = at(0, lesion("a", 30), lesion("c", 8), lesion("d", 8))

    assessment = assessed(first, at(60, gone("a"), merged("c", "d"), merged("d", "c")))
    assert (assessment.non_targets, assessment.response) == (NonTargets.NOT_EVALUATED, Response.PR)


def test_a_non_target_that_merged_into_a_target_has_its_state() -> None:
    together = at(60, lesion("a", 36), merged("c", "a"))

    assert assessed(with_non_target(), together).non_targets is NonTargets.PRESENT
    assert assessed(with_non_target(), together, at(120, gone("a"))).response is Response.CR


@pytest.mark.parametrize(
    ("later", "response"),
    [(lesion("c", 9), "non-CR/non-PD"), (gone("c"), "CR"), (hidden("c"), "NE"), (lesion("n", 9), "PD")],
)
def test_without_a_target_the_other_lesions_determine_the_response(later: TrackedLesion, response: str) -> None:
    assessment = assessed(at(0, lesion("c", 8)), at(60, later))

    assert (assessment.by_targets, str(assessment.response)) == (None, response), TABLE_2
    assert assessment.basis[0] == "no target lesion at baseline"


def test_without_any_lesion_the_response_is_not_evaluable_until_a_new_one_appears() -> None:
    timeline = assess_timeline([at(0), at(60), at(120, lesion("n", 9))])

    assert responses(timeline) == ["NE", "PD"]
    assert "no lesion at baseline: NE" in timeline.assessments[0].basis


def test_time_points_may_be_given_in_any_order() -> None:
    points = [
        at(0, lesion("a", 60), lesion("b", 20)),
        at(60, lesion("a", 40), gone("b")),
        at(120, lesion("a", 30), lesion("b", 6)),
        at(180, lesion("a", 40), lesion("b", 8), lesion("n", 5)),
    ]

    ordered = assess_timeline(points)
    assert responses(ordered) == ["PR", "PR", "PD"]
    assert all(assess_timeline(order) == ordered for order in permutations(points))


def test_an_older_scan_added_later_becomes_the_baseline() -> None:
    later = [at(60, lesion("a", 40)), at(120, lesion("a", 44))]

    assert responses(assess_timeline(later)) == ["SD"]
    assert responses(assess_timeline([*later, at(0, lesion("a", 80))])) == ["PR", "PR"]


def test_the_baseline_may_be_a_later_time_point() -> None:
    points = [at(0, lesion("a", 20)), at(60, lesion("a", 60)), at(120, lesion("a", 40))]

    assert responses(assess_timeline(points)) == ["PD", "PD"]
    from_treatment = assess_timeline(points, baseline=day(60))
    assert from_treatment.baseline.date == day(60)
    assert responses(from_treatment) == ["PR"]


def test_a_missing_baseline_or_two_time_points_of_one_date_raise_an_error() -> None:
    with pytest.raises(ValueError, match="no time point has the date of the baseline"):
        assess_timeline([])
    with pytest.raises(ValueError, match="no time point has the date of the baseline"):
        assess_timeline([at(0, lesion("a", 20)), at(60, lesion("a", 20))], baseline=day(30))
    with pytest.raises(ValueError, match="two time points have the same date"):
        assess_timeline([at(0, lesion("a", 20)), at(0, lesion("a", 21))])


def test_a_baseline_alone_has_no_assessments() -> None:
    timeline = assess_timeline([at(0, lesion("a", 20))])

    assert (timeline.baseline.targets, timeline.assessments, timeline.progressed_on) == (("a",), (), None)


def test_the_basis_shows_the_arithmetic() -> None:
    points = [
        at(0, lesion("a", 42.0, 30.0), lesion("b", 30.0, 10.0), lesion("c", 8.0)),
        at(60, lesion("a", 30.0, 11.0), lesion("b", 18.0, 2.0), lesion("c", 7.0)),
    ]

    assert assessed(*points).basis == (
        "targets: a 30.0 + b 18.0",
        "sum 48.0 mm, baseline 72.0 mm: -33.3 %, nadir 72.0 mm: -33.3 % and -24.0 mm: PR",
        "non-target lesions: present",
        "new lesions: none",
        "all lesions: PR",
        "by volume (not part of RECIST 1.1): sum 13.000 ml, baseline 40.000 ml: -67.5 %, nadir 40.000 ml: -67.5 %: PR",
    )


def test_a_percentage_just_below_a_threshold_is_not_rounded_to_it() -> None:
    # 115.2 of 164.5 mm is -29.97 %; 197.3 mm is +19.94 %.
    assert "-29.9 %" in str(one_target(164.5, 115.2).assessments[0].basis[1])
    assert "+19.9 %" in str(one_target(164.5, 197.3).assessments[0].basis[1])


def test_time_points_after_progression_have_a_remark() -> None:
    timeline = one_target(20, 30, 18)

    assert responses(timeline) == ["PD", "SD"]
    remark = "progression was proposed on {date}: RECIST 1.1 follows no further"
    assert DatedLine(text=remark, on=date(2024, 3, 1)) in timeline.assessments[1].basis
    assert timeline.progressed_on == day(60)
