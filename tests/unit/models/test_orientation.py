from itertools import permutations, product

import numpy as np
import pytest

from models.orientation import orientation_of

UPRIGHT = np.array([[0, 0, 0.8, -100], [0, 0.7, 0, -90], [2.5, 0, 0, 30], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("flips", list(product((False, True), repeat=3)))
def test_every_axis_order_is_turned_upright_and_back(order: tuple[int, ...], flips: tuple[bool, ...]) -> None:
    upright = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    affine, stored = UPRIGHT[:, [*order, 3]].copy(), upright.transpose(order)
    for axis in (k for k in range(3) if flips[k]):
        affine[:3, 3] += affine[:3, axis] * (stored.shape[axis] - 1)
        affine[:3, axis] *= -1
        stored = np.flip(stored, axis)
    orientation = orientation_of(affine)

    assert np.array_equal(orientation.upright(stored), upright)
    assert np.array_equal(orientation.stored(upright), stored)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    assert orientation.spacing((sizes[0], sizes[1], sizes[2])) == pytest.approx((2.5, 0.7, 0.8))


def test_a_tilted_stack_is_already_upright() -> None:
    tilted = UPRIGHT.copy()
    tilted[1, 0], tilted[2, 1] = 1.2, 0.3

    assert orientation_of(tilted).order == (0, 1, 2)
    assert orientation_of(tilted).flips == ()
