from __future__ import annotations

from dicom_node.selection.choice import Candidate, choose
from dicom_node.selection.score import Score
from dicom_node.series import Series


def candidate(uid: str, points: int | None, slices: int = 100, **known: object) -> Candidate:
    series = Series(series_uid=uid, study_uid="1", sop_instance_uids=(f"{uid}.1",))
    return Candidate(series=series, score=Score(points=points, reasons=()), slices=slices, **known)  # type: ignore[arg-type]


def chosen(*candidates: Candidate) -> str | None:
    choice = choose(candidates)
    picked = [] if choice.series is None else [choice.series]
    assert {*picked, *choice.set_aside} == {each.series for each in candidates}  # nothing is lost
    assert len(choice.set_aside) == len(candidates) - len(picked)
    return choice.series.series_uid if choice.series else None


def test_the_best_score_is_chosen() -> None:
    assert chosen(candidate("1.1", 50), candidate("1.2", 80), candidate("1.3", None)) == "1.2"


def test_of_equal_scores_the_one_that_was_analysed_already_stays() -> None:
    assert chosen(candidate("1.1", 80, has_result=True), candidate("1.2", 80, slices=900)) == "1.1"
    assert chosen(candidate("1.1", 80, has_result=True), candidate("1.2", 81)) == "1.2"


def test_a_rejected_series_gives_way_to_the_next_best() -> None:
    assert chosen(candidate("1.1", 80, was_rejected=True), candidate("1.2", 50)) == "1.2"
    assert chosen(candidate("1.1", 80, was_rejected=True), candidate("1.2", 50, was_rejected=True)) is None


def test_a_series_with_cut_lungs_is_taken_only_if_no_other_is_left() -> None:
    cut, other = candidate("1.1", 90, cut_lungs_ml=900.0), candidate("1.2", 40)
    assert chosen(cut, other) == "1.2"
    assert chosen(cut, candidate("1.2", 40, cut_lungs_ml=2500.0)) == "1.2"
    assert chosen(cut, candidate("1.2", 40, was_rejected=True)) == "1.1"
    assert chosen(cut, candidate("1.2", None)) == "1.1"


def test_a_person_overrides_the_score() -> None:
    assert chosen(candidate("1.1", 90), candidate("1.2", None, is_forced=True, was_rejected=True)) == "1.2"


def test_of_a_study_without_a_series_that_suits_the_longest_is_analysed_once_so_that_its_rejection_says_why() -> None:
    assert chosen(candidate("1.1", None, slices=1), candidate("1.2", None, slices=30)) == "1.2"
    assert chosen(candidate("1.1", None, slices=1), candidate("1.2", None, slices=30, was_rejected=True)) is None
