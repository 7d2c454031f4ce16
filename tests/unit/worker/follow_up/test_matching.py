"""Matching of spheres on a grid of 1 mm."""

from __future__ import annotations

import math

import numpy as np
import pytest

from worker.follow_up.matching import Event, LesionPoints, Match, match


def ball(key: str, centre_mm: tuple[float, float, float], radius_mm: float) -> LesionPoints:
    steps = np.arange(-math.ceil(radius_mm), math.ceil(radius_mm) + 1.0)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    inside = grid[np.linalg.norm(grid, axis=1) <= radius_mm]
    return LesionPoints(key=key, points_mm=inside + centre_mm, volume_ml=4 / 3 * math.pi * radius_mm**3 / 1000)


def union(key: str, *balls: LesionPoints) -> LesionPoints:
    points = np.unique(np.concatenate([each.points_mm for each in balls]), axis=0)
    return LesionPoints(key=key, points_mm=points, volume_ml=len(points) / 1000)


def events_of(matches: tuple[Match, ...]) -> set[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    return {(found.event.value, found.prior, found.later) for found in matches}


def test_a_lesion_at_the_same_position_is_the_same_with_high_confidence() -> None:
    (found,) = match([ball("a", (50, 0, 0), 6)], [ball("x", (54, 2, -3), 8)])

    assert (found.event, found.prior, found.later, found.is_confident) == (Event.SAME, ("a",), ("x",), True)
    assert found.confidence > 0.99


def test_a_lesion_in_the_other_lung_is_new_and_the_first_one_has_vanished() -> None:
    found = match([ball("a", (50, 0, 0), 6)], [ball("x", (-50, 0, 0), 6)])

    assert events_of(found) == {("vanished", ("a",), ()), ("new", (), ("x",))}


def test_without_lesions_on_a_side_there_are_no_matches() -> None:
    assert match([], []) == ()
    assert events_of(match([], [ball("x", (0, 0, 0), 5)])) == {("new", (), ("x",))}
    assert events_of(match([ball("a", (0, 0, 0), 5)], [])) == {("vanished", ("a",), ())}


def test_lesions_are_assigned_jointly_and_not_each_to_its_nearest() -> None:
    """A row of three, all moved by 9 mm towards the next: `a` is now nearest to the former position of `b`."""
    prior = [ball("a", (0, 0, 0), 5), ball("b", (17, 0, 0), 5), ball("c", (34, 0, 0), 5)]
    later = [ball("x", (9, 0, 0), 5), ball("y", (26, 0, 0), 5), ball("z", (43, 0, 0), 5)]

    assert events_of(match(prior, later)) == {
        ("same", ("a",), ("x",)),
        ("same", ("b",), ("y",)),
        ("same", ("c",), ("z",)),
    }


def test_size_distinguishes_lesions_at_the_same_position() -> None:
    """Both later lesions are at equal distances from both earlier ones, so only volume differs: 0.1 and 14 ml."""
    prior = [ball("small", (0, 0, 0), 3), ball("large", (0, 30, 0), 15)]
    later = [ball("y", (8, 15, 0), 15), ball("x", (8, 15, 1), 3)]

    pairs = {(found.prior, found.later) for found in match(prior, later, error_mm=12.0)}

    assert pairs == {(("small",), ("x",)), (("large",), ("y",))}


def test_identity_is_not_asserted_for_two_equal_candidates() -> None:
    """One earlier nodule, and two later ones of its size 10 mm to its left and right: a confidence of 0.5."""
    found = match([ball("a", (0, 0, 0), 4)], [ball("x", (-10, 0, 0), 4), ball("y", (10, 0, 0), 4)])
    (pair,) = (each for each in found if each.event is Event.SAME)

    assert pair.confidence == pytest.approx(0.5, abs=0.01)
    assert not pair.is_confident


def test_odds_decrease_with_distance_as_a_normal_distribution() -> None:
    """A radius of 6 mm adds 2 mm to an error of 6: s^2 = 40. At 18 mm the odds are 4e6 / (2 pi s^2)^1.5 / e^4.05 * 2.

    That is 4e6 / 3984.6 * 0.017422 * 2 = 34.98, so the confidence is 34.98 / 35.98.
    """
    (found,) = match([ball("a", (0, 0, 0), 6)], [ball("x", (18, 0, 0), 6)])

    assert found.confidence == pytest.approx(34.98 / 35.98, abs=0.001)


def test_a_large_tumour_may_move_further_than_a_nodule() -> None:
    """At 26 mm, a nodule of 5 mm radius is another lesion, a tumour of 45 mm diameter is the same."""
    assert len(match([ball("a", (0, 0, 0), 5)], [ball("x", (26, 0, 0), 5)])) == 2
    (found,) = match([ball("a", (0, 0, 0), 22.5)], [ball("x", (26, 0, 0), 18)])
    assert found.event is Event.SAME


def test_two_lesions_that_grew_together_have_merged_with_the_larger_one_first() -> None:
    prior = [ball("a", (0, 0, 0), 10), ball("b", (24, 0, 0), 8)]
    later = [union("x", ball("", (0, 0, 0), 13), ball("", (22, 0, 0), 12))]

    (found,) = match(prior, later)

    assert (found.event, found.prior, found.later) == (Event.MERGED, ("a", "b"), ("x",))
    assert found.is_confident


def test_a_divided_lesion_has_split_with_its_largest_part_first() -> None:
    prior = [union("a", ball("", (-9, 0, 0), 9), ball("", (9, 0, 0), 8))]
    later = [ball("small", (11, 0, 0), 5), ball("large", (-9, 0, 0), 7)]

    (found,) = match(prior, later)

    assert (found.event, found.prior, found.later) == (Event.SPLIT, ("a",), ("large", "small"))
    assert found.is_confident


def test_a_merger_of_equal_halves_is_confident() -> None:
    prior = [ball("a", (-12, 0, 0), 9), ball("b", (12, 0, 0), 9)]
    later = [union("x", ball("", (-10, 0, 0), 12), ball("", (10, 0, 0), 12))]

    (found,) = match(prior, later)

    assert found.event is Event.MERGED
    assert found.is_confident


def test_a_satellite_that_vanished_beside_a_stable_tumour_has_not_merged() -> None:
    """The surface of the satellite, a sphere of 4 mm radius, is 8 mm from the tumour."""
    prior = [ball("tumour", (0, 0, 0), 15), ball("satellite", (27, 0, 0), 4)]
    later = [ball("x", (0, 0, 0), 15)]

    assert events_of(match(prior, later)) == {("same", ("tumour",), ("x",)), ("vanished", ("satellite",), ())}


def test_a_tumour_that_grew_to_one_side_is_the_same() -> None:
    """From a radius of 10 mm at the chest wall to 25 mm into the lung: the centres are 15 mm apart."""
    (found,) = match([ball("a", (0, 0, 0), 10)], [ball("x", (15, 0, 0), 25)])

    assert (found.event, found.is_confident) == (Event.SAME, True)


def test_every_lesion_is_in_exactly_one_match() -> None:
    rng = np.random.default_rng(5)
    prior = [ball(f"a{n}", tuple(rng.uniform(-60, 60, 3)), rng.uniform(2, 14)) for n in range(9)]
    later = [ball(f"x{n}", tuple(rng.uniform(-60, 60, 3)), rng.uniform(2, 14)) for n in range(11)]

    found = match(prior, later)

    assert sorted(key for each in found for key in each.prior) == sorted(body.key for body in prior)
    assert sorted(key for each in found for key in each.later) == sorted(body.key for body in later)
