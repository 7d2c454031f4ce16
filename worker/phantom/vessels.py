"""The vessels of a phantom's lungs: a random tree, as balls along its branches."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float, float]
Ball = tuple[Point, float]
"""Centre in mm of the reference chest, and radius in mm."""
IsInside = Callable[[NDArray[np.float64]], bool]


def vessel_balls(per_lung: int, is_inside: IsInside, rng: np.random.Generator) -> Iterator[Ball]:
    """Yield the balls of both lungs' branches, from the hilum outwards, with decreasing radius."""
    for side in (-1, 1):
        for _ in range(per_lung):
            direction = rng.normal(0, 1, 3) * (0.8, 1.0, 1.3)
            direction[0] = side * abs(direction[0])
            direction /= np.linalg.norm(direction)
            yield from _grow(
                np.array([side * 38.0, 8.0, -4.0]), direction, float(rng.uniform(2.6, 5.0)), is_inside, rng
            )


def _grow(
    tip: NDArray[np.float64],
    direction: NDArray[np.float64],
    radius: float,
    is_inside: IsInside,
    rng: np.random.Generator,
) -> Iterator[Ball]:
    while radius > 0.7:
        tip = tip + direction * 1.5
        direction = direction + rng.normal(0, 0.06, 3)
        direction /= np.linalg.norm(direction)
        radius *= 0.982
        if not is_inside(tip) and radius < 3:
            return
        yield (float(tip[0]), float(tip[1]), float(tip[2])), radius
        if radius > 1.1 and rng.random() < 0.035:
            fork = direction + rng.normal(0, 0.7, 3)
            yield from _grow(tip.copy(), fork / np.linalg.norm(fork), radius * 0.75, is_inside, rng)
