from tests.fixtures.worker.make_courses import day
from tests.fixtures.worker.make_priors import absent, present, prior
from worker.follow_up.lesion_history import comparable, known_lesions
from worker.recist.timepoints import State


def test_scans_are_sorted_by_date_without_those_of_the_current_day_or_later() -> None:
    scans = [prior(90, present("a")), prior(0, present("a")), prior(180, present("a")), prior(200, present("a"))]

    assert [scan.date for scan in comparable(scans, before=day(180))] == [day(0), day(90)]


def test_of_two_scans_of_one_day_the_one_with_more_lesions_is_used() -> None:
    scans = [prior(0, present("a"), series_uid="2.25.7"), prior(0, present("a"), present("b"), series_uid="2.25.3")]

    assert [scan.series_uid for scan in comparable(scans, before=day(1))] == ["2.25.3"]


def test_scans_before_one_that_was_never_compared_with_them_are_left_out() -> None:
    scans = [prior(0, present("a")), prior(90, present("b")), prior(180, present("b"), present("c"))]

    assert [scan.date for scan in comparable(scans, before=day(200))] == [day(90), day(180)]


def test_the_history_continues_if_all_lesions_have_vanished() -> None:
    scans = [prior(0, present("a")), prior(90, absent("a", State.VANISHED)), prior(180, absent("a", State.VANISHED))]

    assert len(comparable(scans, before=day(200))) == 3


def test_a_first_scan_without_lesions_belongs_to_the_history() -> None:
    assert len(comparable([prior(0), prior(90, present("a"))], before=day(200))) == 2


def test_a_lesion_has_its_last_number_and_its_last_sizes() -> None:
    scans = [
        prior(0, present("a", side_mm=8, name="lesion-1"), present("b", name="lesion-2")),
        prior(90, present("a", side_mm=12, name="lesion-4"), absent("b", State.VANISHED)),
    ]

    known = known_lesions(scans)

    assert known["a"].number == 4
    assert [observation.state for observation in known["b"].observations] == [State.PRESENT, State.VANISHED]
    measured, outlined = known["b"].last_measured, known["b"].last_outlined
    assert measured is not None
    assert outlined is not None
    assert measured[0] is outlined[0] is scans[0]
    assert known["b"].last.state is State.VANISHED


def test_a_lesion_that_a_reader_added_gets_the_next_number_and_no_two_lesions_have_the_same() -> None:
    scans = [
        prior(0, present("a", name="lesion-1"), present("b", name="lesion-5")),
        prior(90, present("a", name="lesion-1"), present("c", name="reader-1"), present("d", name="lesion-5")),
    ]

    assert {uid: lesion.number for uid, lesion in known_lesions(scans).items()} == {"a": 1, "b": 5, "c": 6, "d": 7}
