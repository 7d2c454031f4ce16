from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.ct.spacing import even_places, even_spacing_mm, is_even, missing_slices

NONE: list[float] = []


def heights(*gaps_mm: float) -> NDArray[np.float64]:
    """The heights of slices with these gaps between them."""
    return np.cumsum([-30.0, *gaps_mm])


def gaps_without_slices(gaps_mm: list[float], numbers: list[int | None] | None = None) -> list[float]:
    """The gaps in mm that lack slices."""
    at = heights(*gaps_mm)
    missing = missing_slices(at, numbers if numbers is not None else [None] * len(at))
    return [gap for gap, is_missing in zip(gaps_mm, missing, strict=True) if is_missing]


@pytest.mark.parametrize(
    ("gaps_mm", "missing"),
    [
        ([2.5] * 20 + [5.0] * 10, NONE),
        ([5.0] * 10 + [1.25] * 40, NONE),
        ([5.0] * 6 + [2.5] * 12 + [5.0] * 6, NONE),
        ([1.0, 2.0] * 15, NONE),  # two overlapping reconstructions
        ([2.5 + 0.1 * step for step in range(20)], NONE),
        ([2.5] * 9 + [5.0] + [2.5] * 9, [5.0]),
        ([2.5] * 9 + [7.5] + [2.5] * 9, [7.5]),
        ([2.5] * 5 + [5.0] + [2.5] * 5 + [5.0] + [2.5] * 5, [5.0, 5.0]),
        ([2.5] * 9 + [5.0, 5.0] + [2.5] * 9, [5.0, 5.0]),
        ([5.0] + [2.5] * 9, [5.0]),
        ([2.5] * 9 + [5.0], [5.0]),
        ([2.5] * 20 + [5.0] * 5 + [10.0] + [5.0] * 5, [10.0]),
        ([2.5, 5.0], [5.0]),
    ],
    ids=[
        "2.5 then 5 mm", "5 then 1.25 mm", "finer in the middle", "1 and 2 mm in turn",
        "growing", "one slice missing", "two neighbours missing", "one missing twice", "every other of four missing",
        "the second missing", "the last but one missing", "one missing in the coarse part", "of three slices",
    ],
)  # fmt: skip
def test_a_gap_without_others_like_it_lacks_slices(gaps_mm: list[float], missing: list[float]) -> None:
    assert gaps_without_slices(gaps_mm) == missing
    assert gaps_without_slices(gaps_mm, list(range(1, len(gaps_mm) + 2))) == missing


def test_gaps_where_the_image_numbers_skip_lack_slices() -> None:
    gaps_mm = [2.5] * 10 + [5.0] * 10
    numbers = [*range(11), *range(12, 32, 2)]

    assert gaps_without_slices(gaps_mm) == NONE
    assert gaps_without_slices(gaps_mm, [*numbers]) == [5.0] * 10
    assert gaps_without_slices(gaps_mm, [-number for number in numbers]) == [5.0] * 10, "numbered downwards"


@pytest.mark.parametrize("numbers", [[7] * 21, [None] * 21, [3 * number % 22 for number in range(21)]])
def test_numbers_that_follow_no_order_decide_nothing(numbers: list[int | None]) -> None:
    assert gaps_without_slices([2.5] * 10 + [5.0] * 10, numbers) == NONE


def test_a_stack_is_even_within_a_tenth_of_its_spacing() -> None:
    assert is_even(heights(*[2.5] * 10))
    assert is_even(heights(*[2.5] * 5, 2.7, 2.3, *[2.5] * 5))
    assert not is_even(heights(*[2.5] * 5, 2.8, 2.2, *[2.5] * 5))
    assert is_even(np.round(heights(*[0.625] * 40), 1)), "positions of one decimal"
    assert not is_even(heights(*[2.5] * 10, *[5.0] * 10))


def test_the_even_stack_has_the_finest_spacing_and_goes_through_the_finest_slices() -> None:
    at = heights(*[5.0] * 3, *[2.5] * 4)

    spacing_mm = even_spacing_mm(at)

    assert spacing_mm == 2.5
    assert even_places(at, spacing_mm).tolist() == [0, 2, 4, 6, 7, 8, 9, 10]


def test_coarse_slices_lie_between_those_of_the_stack() -> None:
    places = even_places(heights(3.0, 3.0, 3.0, 2.0, 2.0, 2.0, 2.0), 2.0)

    assert places.tolist() == [0.5, 2, 3.5, 5, 6, 7, 8, 9]


def test_the_finest_spacing_is_not_narrowed_by_rounded_positions() -> None:
    at = heights(*[2.5] * 21, *[5.0] * 10)
    at[:22] = np.round(at[:22] + 0.02 * np.sin(np.arange(22)), 1)

    assert even_spacing_mm(at) == pytest.approx(2.5, abs=0.03)


def test_the_even_stack_has_at_most_two_slices_for_each_image() -> None:
    at = heights(0.5, *[10.0] * 19)

    spacing_mm = even_spacing_mm(at)

    assert spacing_mm == pytest.approx(190.5 / 41)
    assert even_places(at, spacing_mm)[-1] < 42
