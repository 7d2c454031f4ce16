from tests.fixtures.worker.make_priors import absent, present, prior
from worker.follow_up.lesion_history import KnownLesion, known_lesions
from worker.follow_up.matching import Event, Match
from worker.follow_up.prior import PriorLesion
from worker.follow_up.tracking import Absence, absences, identities
from worker.recist.timepoints import State

NONE_OUT_OF_VIEW: frozenset[str] = frozenset()


def known(*lesions: PriorLesion) -> dict[str, KnownLesion]:
    return known_lesions([prior(0, *lesions)])


def matched(event: Event, prior: str, later: str, confidence: float = 0.99) -> Match:
    """A match whose keys are single letters: `ab` are two lesions."""
    return Match(
        event=event,
        prior=tuple(prior),
        later=tuple(later),
        confidence=confidence,
        is_confident=confidence >= 0.9,
    )


def test_a_confident_match_keeps_tracking_uid_and_number() -> None:
    found = identities([matched(Event.SAME, "a", "x")], known(present("a", name="lesion-3")), ["x"])

    assert (found["x"].tracking_uid, found["x"].number, found["x"].state) == ("a", 3, State.PRESENT)


def test_a_new_lesion_keeps_its_own_uid_and_gets_the_next_number() -> None:
    names = known(present("a", name="lesion-1"), absent("lesion", State.VANISHED), present("c", name="lesion-3"))
    matches = [matched(Event.NEW, "", "x"), matched(Event.NEW, "", "y"), matched(Event.SAME, "a", "z")]

    found = identities(matches, names, ["x", "y", "z"])

    assert (found["x"].tracking_uid, found["x"].number) == ("x", 5)
    assert (found["y"].tracking_uid, found["y"].number) == ("y", 6)


def test_a_doubtful_match_gets_its_own_uid_and_the_known_lesion_is_not_evaluable() -> None:
    matches = [matched(Event.SAME, "a", "x", confidence=0.6)]
    names = known(present("a"))

    (found,) = identities(matches, names, ["x"]).values()

    assert (found.tracking_uid, found.possible_match, found.state) == ("x", "a", State.DOUBTFUL)
    assert absences(matches, names, NONE_OUT_OF_VIEW) == {"a": Absence(state=State.NOT_EVALUABLE)}


def test_the_largest_part_continues_a_split_lesion_and_the_others_refer_to_it() -> None:
    found = identities([matched(Event.SPLIT, "a", "xy")], known(present("a")), ["x", "y"])

    assert (found["x"].tracking_uid, found["x"].split_from, found["x"].event) == ("a", None, Event.SPLIT)
    assert (found["y"].tracking_uid, found["y"].split_from, found["y"].event) == ("y", "a", Event.SPLIT)


def test_a_merged_lesion_refers_to_the_one_that_contains_it() -> None:
    matches = [matched(Event.MERGED, "ab", "x")]
    names = known(present("a"), present("b"))

    assert identities(matches, names, ["x"])["x"].tracking_uid == "a"
    assert absences(matches, names, NONE_OUT_OF_VIEW) == {
        "b": Absence(state=State.MERGED, event=Event.MERGED, merged_into="a")
    }


def test_a_lesion_outside_of_the_scan_has_not_vanished() -> None:
    matches = [matched(Event.VANISHED, "a", ""), matched(Event.VANISHED, "b", "")]

    found = absences(matches, known(present("a"), present("b")), frozenset("b"))

    assert found == {
        "a": Absence(state=State.VANISHED, event=Event.VANISHED),
        "b": Absence(state=State.NOT_EVALUABLE),
    }


def test_a_lesion_that_was_absent_before_stays_absent_without_an_event() -> None:
    names = known(absent("a", State.VANISHED), absent("b", State.MERGED, merged_into="c"), absent("d", State.TOO_SMALL))

    assert absences([], names, NONE_OUT_OF_VIEW) == {
        "a": Absence(state=State.VANISHED),
        "b": Absence(state=State.MERGED, merged_into="c"),
        "d": Absence(state=State.NOT_EVALUABLE),
    }


def test_a_returned_lesion_has_its_uid_again_and_is_not_absent() -> None:
    matches = [matched(Event.RETURNED, "a", "x")]
    names = known(absent("a", State.VANISHED))

    assert identities(matches, names, ["x"])["x"].event is Event.RETURNED
    assert absences(matches, names, NONE_OUT_OF_VIEW) == {}
