import numpy as np
import pytest

from models.lung_tumour.transforms import neighbours, normalise, slice_step


def test_the_window_is_mapped_to_minus_one_to_one() -> None:
    hu = np.array([-2000, -1000, -300, 400, 3000], np.float32)

    assert normalise(hu) == pytest.approx([-1, -1, 0, 1, 1])


@pytest.mark.parametrize(("spacing_mm", "step"), [(0.6, 4), (1.25, 2), (2.5, 1), (3.0, 1), (8.0, 1)])
def test_neighbours_lie_about_two_and_a_half_mm_apart(spacing_mm: float, step: int) -> None:
    assert slice_step(spacing_mm) == step


def test_neighbours_are_held_inside_the_stack() -> None:
    assert neighbours(0, 10, 2) == [0, 0, 0, 2, 4]
    assert neighbours(5, 10, 2) == [1, 3, 5, 7, 9]
    assert neighbours(9, 10, 2) == [5, 7, 9, 9, 9]
