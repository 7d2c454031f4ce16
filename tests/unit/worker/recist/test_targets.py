from __future__ import annotations

import pytest

from tests.fixtures.worker.make_courses import at, doubtful, gone, hidden, lesion, merged, part, too_small
from worker.recist.lesion_graph import lesion_graphs
from worker.recist.targets import TOO_SMALL_ML, TargetSum, baseline_of, choose_targets, target_sum
from worker.recist.timepoints import TimePoint, TrackedLesion

MEASURABLE = "10 mm on slices up to 5 mm, else twice their thickness: Eisenhauer 2009, 3.1.1 and appendix II"
CHOICE = "five, two per organ, the longest, of all organs: Eisenhauer 2009, 4.2"
PAIRED = "both lungs are one organ: recist.eortc.org"
SPECIAL_NOTES = "too small, split, merged: Eisenhauer 2009, 4.3.2"


def chosen(*lesions: TrackedLesion, slice_mm: float = 1.0) -> str:
    return "".join(each.tracking_uid for each in choose_targets(at(0, *lesions, slice_mm=slice_mm)))


def summed(targets: str, *points: TimePoint) -> TargetSum:
    *_, last = lesion_graphs(points)
    return target_sum(last, list(targets))


@pytest.mark.parametrize(
    ("long_axis_mm", "slice_mm", "is_target"),
    [
        (10.0, 1.0, True),
        (9.9, 1.0, False),
        (9.94, 1.0, False),  # shown as 9.9
        (9.96, 1.0, True),  # shown as 10.0
        (10.0, 5.0, True),
        (10.0, 5.5, False),
        (11.0, 5.5, True),
        (13.9, 7.0, False),
        (14.0, 7.0, True),
    ],
)
def test_measurable_lesions(long_axis_mm: float, slice_mm: float, is_target: bool) -> None:
    assert chosen(lesion("a", long_axis_mm), slice_mm=slice_mm) == ("a" if is_target else ""), MEASURABLE


def test_the_two_longest_of_the_lungs_are_targets() -> None:
    assert chosen(lesion("a", 12), lesion("b", 40), lesion("c", 18), lesion("d", 25)) == "bd", CHOICE + PAIRED


def test_of_equal_lengths_the_larger_volume_is_chosen_then_the_first_uid() -> None:
    assert chosen(lesion("a", 30), lesion("b", 20, 1.0), lesion("c", 20, 2.0)) == "ac"
    assert chosen(lesion("a", 30), lesion("c", 20, 2.0), lesion("b", 20, 2.0)) == "ab"
    # To a tenth of a millimetre, 20.04 is no longer than 19.96.
    assert chosen(lesion("a", 30), lesion("b", 20.04, 1.0), lesion("c", 19.96, 2.0)) == "ac"


def test_the_order_of_lesions_does_not_matter() -> None:
    lesions = [lesion("a", 20, 1.0), lesion("b", 20, 1.0), lesion("c", 20, 1.0)]

    assert chosen(*lesions) == chosen(*reversed(lesions)) == "ab"


def test_at_most_five_in_all_and_two_of_an_organ() -> None:
    organs = {"lung": "abc", "liver": "def", "spleen": "ghi"}
    lesions = [
        lesion(uid, 60 - 5 * "abcdefghi".index(uid), organ=organ) for organ, uids in organs.items() for uid in uids
    ]

    assert chosen(*lesions) == "abdeg", CHOICE


def test_every_organ_is_represented_before_a_second_lesion_of_any() -> None:
    # By length alone a, b, c, d, e would be chosen, and no lesion of the brain.
    lesions = [
        lesion("a", 50), lesion("b", 49), lesion("c", 48, organ="liver"), lesion("d", 47, organ="liver"),
        lesion("e", 46, organ="spleen"), lesion("f", 12, organ="brain"),
    ]  # fmt: skip

    assert chosen(*lesions) == "abcef", CHOICE


def test_only_measured_lesions_are_targets() -> None:
    others = [
        too_small("b"),
        hidden("c"),
        doubtful("d", 30),
        gone("e"),
        merged("f", "a"),
        TrackedLesion(tracking_uid="g"),
    ]

    assert chosen(lesion("a", 12), *others) == "a"


def test_the_baseline_gives_a_reason_for_each_lesion() -> None:
    point = at(
        0, lesion("a", 31.2), lesion("b", 22), lesion("c", 14), lesion("d", 13.9), too_small("e"), gone("f"), slice_mm=7
    )
    (lesion_graph,) = lesion_graphs([point])
    baseline = baseline_of(lesion_graph)

    assert (baseline.targets, baseline.non_targets) == (("a", "b"), ("c", "d", "e"))
    assert baseline.total == TargetSum(sum_mm=53.2, sum_ml=None, is_complete=True, text="a 31.2 + b 22.0")
    assert baseline.basis == (
        "a 31.2 mm: target",
        "b 22.0 mm: target",
        "c 14.0 mm: not a target, others are larger (at most 2 per organ, 5 in all)",
        "d 13.9 mm: not a target, below 14.0 mm, twice the slice thickness of 7.0 mm",
        "e too small to measure: not a target",
    )


def test_the_sum_is_that_of_the_rounded_lengths() -> None:
    # 10.04 + 10.04 = 20.08, but what is shown is 10.0 + 10.0 = 20.0.
    total = summed("ab", at(0, lesion("a", 10.04, 0.5), lesion("b", 10.04, 0.25)))

    assert summed("ab", at(0, lesion("a", 10.1), lesion("b", 10.2))).sum_mm == 20.3
    assert total == TargetSum(sum_mm=20.0, sum_ml=0.75, is_complete=True, text="a 10.0 + b 10.0")


def test_a_vanished_target_counts_0() -> None:
    total = summed("ab", at(0, lesion("a", 20, 4.0), lesion("b", 15, 1.0)), at(60, lesion("a", 18, 3.0), gone("b")))

    assert total == TargetSum(sum_mm=18.0, sum_ml=3.0, is_complete=True, text="a 18.0 + b 0.0 (vanished)")


def test_a_target_too_small_to_measure_counts_5_mm_unless_a_length_is_given() -> None:
    first = at(0, lesion("a", 20, 4.0), lesion("b", 15, 1.0))

    default = summed("ab", first, at(60, lesion("a", 18, 3.0), too_small("b")))
    given = summed("ab", first, at(60, lesion("a", 18, 3.0), too_small("b", 3.2, 0.02)))
    assert default.sum_mm == 23.0, SPECIAL_NOTES
    assert default.sum_ml == pytest.approx(3.0654, abs=1e-4)  # a ball of 5 mm: 0.0654 ml
    assert pytest.approx(0.06545, abs=1e-5) == TOO_SMALL_ML
    assert (given.sum_mm, given.sum_ml) == (21.2, 3.02), SPECIAL_NOTES
    assert default.text == "a 18.0 + b 5.0 (too small to measure)"


def test_the_default_of_5_mm_does_not_change_with_the_slice_thickness() -> None:
    total = summed("a", at(0, lesion("a", 20), slice_mm=7), at(60, too_small("a"), slice_mm=7))

    assert total.sum_mm == 5.0, SPECIAL_NOTES


def test_merged_targets_count_one_long_axis() -> None:
    first = at(0, lesion("a", 30, 9.0), lesion("b", 20, 3.0))

    total = summed("ab", first, at(60, lesion("a", 44, 13.0), merged("b", "a")))
    assert total == TargetSum(sum_mm=44.0, sum_ml=13.0, is_complete=True, text="a 44.0 + b (within a)"), SPECIAL_NOTES


def test_merged_lesions_stay_merged_even_if_later_scans_do_not_list_them() -> None:
    first, second = at(0, lesion("a", 30), lesion("b", 20)), at(60, lesion("a", 44), merged("b", "a"))

    for later in ([lesion("a", 40)], [lesion("a", 40), merged("b", "a")], [lesion("a", 40), gone("b")]):
        total = summed("ab", first, second, at(120, *later))
        assert (total.sum_mm, total.is_complete) == (40.0, True)


def test_a_merged_lesion_that_separates_again_is_measured_separately() -> None:
    points = [
        at(0, lesion("a", 30), lesion("b", 20)),
        at(60, lesion("a", 44), merged("b", "a")),
        at(120, lesion("a", 25), lesion("b", 12)),
    ]

    assert summed("ab", *points).sum_mm == 37.0, SPECIAL_NOTES


def test_a_target_that_merged_into_another_lesion_is_measured_there() -> None:
    first = at(0, lesion("a", 30), lesion("b", 20), lesion("c", 12))

    within = at(60, lesion("a", 31), merged("b", "c"), lesion("c", 28))
    assert summed("ab", first, within).sum_mm == 59.0
    assert summed("ab", first, within, at(120, lesion("a", 31), gone("b"), lesion("c", 28))).sum_mm == 59.0
    assert summed("ab", first, within, at(120, lesion("a", 31), hidden("b"), lesion("c", 28))).sum_mm == 59.0


def test_three_lesions_that_merge_successively_count_one_long_axis() -> None:
    points = [
        at(0, lesion("a", 30), lesion("b", 20), lesion("c", 12)),
        at(60, lesion("a", 30), lesion("b", 33), merged("c", "b")),
        at(120, lesion("a", 50), merged("b", "a")),
    ]

    assert summed("abc", *points).sum_mm == 50.0


def test_the_parts_of_a_split_target_are_added_up() -> None:
    points = [
        at(0, lesion("a", 40, 20.0)),
        at(60, lesion("a", 18, 2.0), part("a2", 12, of="a", volume_ml=1.0)),
        at(120, lesion("a", 16, 1.5), lesion("a2", 9, 0.5)),
    ]

    assert summed("a", *points[:2]) == TargetSum(sum_mm=30.0, sum_ml=3.0, is_complete=True, text="a 18.0 + a2 12.0"), (
        SPECIAL_NOTES
    )
    assert summed("a", *points).sum_mm == 25.0


def test_parts_that_merge_again_or_split_further_are_counted_once() -> None:
    split = [at(0, lesion("a", 40)), at(60, lesion("a", 18), part("p", 12, of="a"))]

    assert summed("a", *split, at(120, lesion("a", 31), merged("p", "a"))).sum_mm == 31.0
    assert summed("a", *split, at(120, lesion("a", 18), lesion("p", 6), part("q", 5, of="p"))).sum_mm == 29.0


def test_a_lesion_of_which_only_parts_are_listed_counts_as_their_sum() -> None:
    total = summed("a", at(0, lesion("a", 40)), at(60, part("p", 18, of="a"), part("q", 12, of="a")))

    assert total == TargetSum(sum_mm=30.0, sum_ml=None, is_complete=True, text="p 18.0 + q 12.0")


def test_a_dissolved_lesion_vanishes_with_its_parts_and_is_measured_if_seen_again() -> None:
    points = [at(0, lesion("a", 40)), at(60, part("p", 18, of="a"), part("q", 12, of="a"))]

    assert summed("a", *points, at(120, gone("p"), gone("q"))).sum_mm == 0.0
    assert summed("a", *points, at(120, gone("p"), gone("q"))).is_complete
    assert summed("a", *points, at(120, lesion("a", 20), gone("p"), gone("q"))).sum_mm == 20.0
    assert not summed("a", *points, at(120, lesion("a", 20)), at(180, gone("p"), gone("q"))).is_complete


def test_a_split_lesion_that_is_not_listed_later_is_not_evaluable_even_if_its_part_is_seen() -> None:
    split = [at(0, lesion("a", 40)), at(60, lesion("a", 18), part("p", 12, of="a"))]

    assert not summed("a", *split, at(120, lesion("p", 9))).is_complete
    assert not summed("a", *split, at(120, part("p", 9, of="a"))).is_complete


@pytest.mark.parametrize(
    ("later", "text"),
    [
        (hidden("b"), "b not evaluable"),
        (doubtful("b", 20), "b not evaluable"),
        (TrackedLesion(tracking_uid="b"), "b not evaluable"),
        (lesion("x", 9), "b not evaluable (not listed)"),
    ],
)
def test_a_target_that_is_not_measured_leaves_the_sum_incomplete(later: TrackedLesion, text: str) -> None:
    total = summed("ab", at(0, lesion("a", 30, 9.0), lesion("b", 20, 3.0)), at(60, lesion("a", 28, 8.0), later))

    assert total == TargetSum(sum_mm=28.0, sum_ml=None, is_complete=False, text=f"a 28.0 + {text}")


def test_lesions_merged_into_each_other_are_not_evaluable() -> None:
    total = summed("ab", at(0, lesion("a", 30), lesion("b", 20)), at(60, merged("a", "b"), merged("b", "a")))

    assert (total.is_complete, total.sum_ml) == (False, None)


def test_a_tracking_uid_used_twice_at_a_time_point_raises_an_error() -> None:
    with pytest.raises(ValueError, match="used twice"):
        at(0, lesion("a", 30), lesion("a", 20))
