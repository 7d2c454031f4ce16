from tests.fixtures.worker.make_priors import absent, present, prior
from worker.follow_up.lesion_history import KnownLesion, known_lesions
from worker.follow_up.matching import Event, Match
from worker.follow_up.tracking import Absence, absences, identities
from worker.priors.read import PriorLesion
from worker.recist.timepoints import State

NOWHERE: frozenset[str] = frozenset()


def known(*lesions: PriorLesion) -> dict[str, KnownLesion]:
    return known_lesions([prior(0, *lesions)])


def matched(event: Event, earlier: str, later: str, confidence: float = 0.99) -> Match:
    """Keys are letters: `ab` are two lesions."""
    return Match(
        event=event,
        earlier=tuple(earlier),
        later=tuple(later),
        confidence=confidence,
        is_confident=confidence >= 0.9,
    )


def test_a_sure_match_carries_tracking_uid_and_name_over() -> None:
    found = identities([matched(Event.SAME, "a", "x")], known(present("a", name="lesion-3")), ["x"])

    assert (found["x"].tracking_uid, found["x"].name, found["x"].state) == ("a", "lesion-3", State.PRESENT)


def test_a_new_lesion_keeps_its_own_uid_and_gets_a_name_that_nobody_had() -> None:
    names = known(present("a", name="lesion-1"), absent("lesion", State.VANISHED), present("c", name="lesion-3"))
    matches = [matched(Event.NEW, "", "x"), matched(Event.NEW, "", "y"), matched(Event.SAME, "a", "z")]

    found = identities(matches, names, ["x", "y", "z"])

    assert (found["x"].tracking_uid, found["x"].name) == ("x", "lesion-2")
    assert (found["y"].tracking_uid, found["y"].name) == ("y", "lesion-4")


def test_a_doubtful_match_is_a_lesion_of_its_own_and_the_known_one_is_not_evaluable() -> None:
    matches = [matched(Event.SAME, "a", "x", confidence=0.6)]
    names = known(present("a"))

    (found,) = identities(matches, names, ["x"]).values()

    assert (found.tracking_uid, found.possible_match, found.state) == ("x", "a", State.DOUBTFUL)
    assert absences(matches, names, NOWHERE) == {"a": Absence(state=State.NOT_EVALUABLE)}


def test_the_largest_part_continues_a_split_lesion_and_the_others_name_their_origin() -> None:
    found = identities([matched(Event.SPLIT, "a", "xy")], known(present("a")), ["x", "y"])

    assert (found["x"].tracking_uid, found["x"].split_from, found["x"].event) == ("a", None, Event.SPLIT)
    assert (found["y"].tracking_uid, found["y"].split_from, found["y"].event) == ("y", "a", Event.SPLIT)


def test_what_merged_is_said_to_be_in_the_one_that_holds_it() -> None:
    matches = [matched(Event.MERGED, "ab", "x")]
    names = known(present("a"), present("b"))

    assert identities(matches, names, ["x"])["x"].tracking_uid == "a"
    assert absences(matches, names, NOWHERE) == {"b": Absence(state=State.MERGED, event=Event.MERGED, merged_into="a")}


def test_a_lesion_outside_of_the_scan_has_not_vanished() -> None:
    matches = [matched(Event.VANISHED, "a", ""), matched(Event.VANISHED, "b", "")]

    found = absences(matches, known(present("a"), present("b")), frozenset("b"))

    assert found == {
        "a": Absence(state=State.VANISHED, event=Event.VANISHED),
        "b": Absence(state=State.NOT_EVALUABLE),
    }


def test_what_was_gone_before_stays_so_without_an_event() -> None:
    names = known(absent("a", State.VANISHED), absent("b", State.MERGED, merged_into="c"), absent("d", State.TOO_SMALL))

    assert absences([], names, NOWHERE) == {
        "a": Absence(state=State.VANISHED),
        "b": Absence(state=State.MERGED, merged_into="c"),
        "d": Absence(state=State.NOT_EVALUABLE),
    }


def test_a_returned_lesion_bears_its_uid_again_and_is_not_absent() -> None:
    matches = [matched(Event.RETURNED, "a", "x")]
    names = known(absent("a", State.VANISHED))

    assert identities(matches, names, ["x"])["x"].event is Event.RETURNED
    assert absences(matches, names, NOWHERE) == {}
