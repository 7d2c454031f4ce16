from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from worker.ct.resampling import even_stack

Image = NDArray[np.float32]


def stack_of(places: list[float], values: list[float]) -> list[float]:
    """The value of each slice of the even stack made of images of one value each."""
    read = []

    def fill(number: int, plane: Image) -> None:
        read.append(number)
        plane[...] = values[number]

    stack = even_stack(np.array(places), (2, 3), fill)

    assert read == list(range(len(places))), "each image is read once, in order"
    assert stack.shape[1:] == (2, 3)
    assert (stack == stack[:, :1, :1]).all()
    return [float(value) for value in stack[:, 0, 0]]


def test_slices_between_two_images_are_their_weighted_mean() -> None:
    assert stack_of([0, 1, 3, 5], [10, 20, 40, 0]) == [10, 20, 30, 40, 20, 0]
    assert stack_of([0, 4, 5], [0, 100, 7]) == [0, 25, 50, 75, 100, 7]


def test_images_off_the_slices_count_by_their_distance() -> None:
    assert stack_of([0.5, 2, 2.75, 4], [0, 30, 60, 10]) == pytest.approx([0, 10, 30, 50, 10])


def test_slices_beyond_the_first_and_the_last_image_repeat_them() -> None:
    assert stack_of([0.5, 1.5, 2.5, 3.5], [8, 10, 20, 40]) == [8, 9, 15, 30, 40]


def test_a_linear_course_stays_linear() -> None:
    places = np.cumsum([0, 1, 1, 1.7, 1.3, 2, 3.2])

    stack = stack_of(places.tolist(), (7 * places - 900).tolist())

    assert stack == pytest.approx([*(7.0 * index - 900 for index in range(11)), 7 * 10.2 - 900], abs=1e-3)
