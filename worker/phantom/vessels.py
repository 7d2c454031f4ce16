"""The vessels of a phantom's lungs: a tree drawn at random, as balls along its branches. Paints nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float, float]
Ball = tuple[Point, float]
"""Centre in mm of the chest as drawn, and radius."""
IsInside = Callable[[NDArray[np.float64]], bool]


def vessel_balls(per_lung: int, is_inside: IsInside, rng: np.random.Generator) -> Iterator[Ball]:
    """Yield both lungs' branches, from the hilum to the edge of the lung, thinning on their way."""
    for side in (-1, 1):
        for _ in range(per_lung):
            aim = rng.normal(0, 1, 3) * (0.8, 1.0, 1.3)
            aim[0] = side * abs(aim[0])
            aim /= np.linalg.norm(aim)
            yield from _grow(np.array([side * 38.0, 8.0, -4.0]), aim, float(rng.uniform(2.6, 5.0)), is_inside, rng)


def _grow(
    tip: NDArray[np.float64], aim: NDArray[np.float64], radius: float, is_inside: IsInside, rng: np.random.Generator
) -> Iterator[Ball]:
    while radius > 0.7:
        tip = tip + aim * 1.5
        aim = aim + rng.normal(0, 0.06, 3)
        aim /= np.linalg.norm(aim)
        radius *= 0.982
        if not is_inside(tip) and radius < 3:
            return
        yield (float(tip[0]), float(tip[1]), float(tip[2])), radius
        if radius > 1.1 and rng.random() < 0.035:
            fork = aim + rng.normal(0, 0.7, 3)
            yield from _grow(tip.copy(), fork / np.linalg.norm(fork), radius * 0.75, is_inside, rng)
