"""Lungs as smooth shapes, scanned twice: stored, placed and breathed otherwise, each point's way known on paper.

A lung is an ellipsoid less the heart and what lies under the diaphragm. Coordinates are LPS mm of the earlier patient.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from models.volume import Mask

Points = NDArray[np.float64]
Affine = NDArray[np.float64]

LOWEST, HIGHEST = -130.0, 130.0


@dataclass(frozen=True, kw_only=True)
class Breath:
    """From the later scan back to the earlier: sink and dome in mm, widths in parts; then where the patient lies."""

    sink_mm: float = 0.0
    dome_mm: float = 0.0
    wider: float = 0.0
    turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def to_earlier(self, later: Points) -> Points:
        turn = Rotation.from_euler("xyz", self.turn_deg, degrees=True).as_matrix()
        at = (later - self.shift_mm) @ turn
        low = np.clip((HIGHEST - at[:, 2]) / (HIGHEST - LOWEST), 0, 1.2)  # 0 at the apex, 1 at the diaphragm
        dome = np.exp(-(((np.abs(at[:, 0]) - 76) / 45) ** 2) - (at[:, 1] / 60) ** 2) * low**2
        moved = at.copy()
        moved[:, 2] += self.sink_mm * low**1.3 + self.dome_mm * dome
        moved[:, :2] *= 1 + self.wider * low[:, None]
        return moved


def inside_lungs(at: Points, sides: tuple[int, ...] = (-1, 1)) -> NDArray[np.bool_]:
    """Whether points of the earlier patient lie in the lungs."""
    x, y, z = at.T
    found = np.zeros(len(at), bool)
    for side in sides:
        found |= ((x - side * 76) / 60) ** 2 + (y / 88) ** 2 + (z / HIGHEST) ** 2 < 1
    heart = ((x - 22) / 58) ** 2 + ((y + 28) / 48) ** 2 + ((z + 48) / 58) ** 2 < 1
    under = z < -105 + 45 * np.exp(-(((np.abs(x) - 70) / 45) ** 2) - (y / 60) ** 2)  # domes of the diaphragm
    return found & ~heart & ~under & (np.abs(x) > 24)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """How a scan is stored: (slice, row, column) to LPS mm around a middle."""

    spacing_mm: tuple[float, float, float] = (3.0, 3.0, 3.0)
    signs: tuple[int, int, int] = (1, 1, 1)
    lean_deg: float = 0.0
    middle_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    half_mm: tuple[float, float, float] = (165.0, 120.0, 165.0)
    affine: Affine = field(init=False)
    shape: tuple[int, int, int] = field(init=False)

    def __post_init__(self) -> None:
        shape = tuple(int(2 * half / step) for half, step in zip(self.half_mm[::-1], self.spacing_mm, strict=True))
        steps = np.multiply(self.spacing_mm, self.signs)
        matrix = np.array([[0, 0, steps[2]], [0, steps[1], 0], [steps[0], 0, 0]])
        matrix = Rotation.from_euler("x", self.lean_deg, degrees=True).as_matrix() @ matrix
        affine = np.eye(4)
        affine[:3, :3] = matrix
        affine[:3, 3] = self.middle_mm - matrix @ ((np.array(shape) - 1) / 2)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", shape)

    def points(self) -> Points:
        located: Points = np.indices(self.shape).reshape(3, -1).T @ self.affine[:3, :3].T + self.affine[:3, 3]
        return located


STILL = Breath()


def scan(grid: Grid | None = None, breath: Breath = STILL, sides: tuple[int, ...] = (-1, 1)) -> Mask:
    """The mask of both lungs (or of one) of the patient after a breath."""
    grid = grid or Grid()
    inside = inside_lungs(breath.to_earlier(grid.points()), sides)
    return Mask(voxels=inside.reshape(grid.shape), affine=grid.affine)


def pairs_within(breath: Breath, count: int = 400) -> tuple[Points, Points]:
    """Points inside the lungs of the earlier scan, and where they lie in the later."""
    rng = np.random.default_rng(3)
    turn = Rotation.from_euler("xyz", breath.turn_deg, degrees=True).as_matrix()
    later = rng.uniform((-136, -88, -130), (136, 88, 130), (20 * count, 3)) @ turn.T + breath.shift_mm
    earlier = breath.to_earlier(later)
    kept = inside_lungs(earlier)
    return earlier[kept][:count], later[kept][:count]
