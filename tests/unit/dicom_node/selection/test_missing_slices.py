from __future__ import annotations

from itertools import accumulate

import pytest

from dicom_node.selection.missing_slices import missing_slices

NONE: list[float] = []


def gaps_without_slices(gaps_mm: list[float], numbers: list[int | None] | None = None) -> list[float]:
    """The gaps in mm that lack slices."""
    at = list(accumulate(gaps_mm, initial=-30.0))
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
