from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.ct.spacing import even_places, even_spacing_mm, is_even


def heights(*gaps_mm: float) -> NDArray[np.float64]:
    """The heights of slices with these gaps between them."""
    return np.cumsum([-30.0, *gaps_mm])


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
