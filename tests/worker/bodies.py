"""Bodies whose volume and RECIST axes are known on paper. Knows no voxels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Body(Protocol):
    """A body around the origin of the stack's own frame: x along columns, y along rows, z along the slice normal."""

    @property
    def volume_ml(self) -> float:
        """The volume on paper."""

    @property
    def axes_mm(self) -> tuple[float, float]:
        """Long and short axis of the largest section parallel to the slices."""

    @property
    def reach_mm(self) -> tuple[float, float, float]:
        """Half of the body's extent along (z, y, x), or a little more."""

    def chord(self, y: Array, x: Array) -> tuple[Array, Array]:
        """Return where the line along z through (y, x) enters and leaves; equal where it misses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ellipsoid:
    """Half axes in mm along the columns of `turn`, which are given as (z, y, x). A sphere has three equal ones."""

    half_axes_mm: tuple[float, float, float]
    turn: Array

    @property
    def volume_ml(self) -> float:
        """4/3 pi abc."""
        return 4 / 3 * math.pi * math.prod(self.half_axes_mm) / 1000

    @property
    def axes_mm(self) -> tuple[float, float]:
        """By symmetry, the section through the centre is the largest: an ellipse."""
        smaller, larger = np.linalg.eigvalsh(self._form[1:, 1:])
        return 2 / smaller**0.5, 2 / larger**0.5

    @property
    def reach_mm(self) -> tuple[float, float, float]:
        """The support function along each axis."""
        z, y, x = np.sqrt(np.diag(np.linalg.inv(self._form)))
        return float(z), float(y), float(x)

    @property
    def _form(self) -> Array:
        return np.asarray(self.turn @ np.diag(1 / np.square(self.half_axes_mm)) @ self.turn.T)

    def chord(self, y: Array, x: Array) -> tuple[Array, Array]:
        """Solve the quadratic form for z."""
        q = self._form
        return _roots(q[0, 0], q[0, 1] * y + q[0, 2] * x, q[1, 1] * y**2 + 2 * q[1, 2] * y * x + q[2, 2] * x**2 - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cylinder:
    """A right circular cylinder, its axis tilted from the slice normal and turned about it.

    So long that the slice through the centre does not meet its ends: tan(tilt) <= length / diameter.
    """

    radius_mm: float
    length_mm: float
    tilt_rad: float
    turn_rad: float

    @property
    def volume_ml(self) -> float:
        """pi r^2 l."""
        return math.pi * self.radius_mm**2 * self.length_mm / 1000

    @property
    def axes_mm(self) -> tuple[float, float]:
        """The section of a tilted cylinder is an ellipse with half axes r / cos(tilt) and r."""
        return 2 * self.radius_mm / math.cos(self.tilt_rad), 2 * self.radius_mm

    @property
    def reach_mm(self) -> tuple[float, float, float]:
        """Half of the axis and the edge of the ends."""
        z, y, x = (
            abs(along) * self.length_mm / 2 + self.radius_mm * math.sqrt(1 - along**2) for along in self._direction
        )
        return z, y, x

    @property
    def _direction(self) -> tuple[float, float, float]:
        across = math.sin(self.tilt_rad)
        return math.cos(self.tilt_rad), across * math.sin(self.turn_rad), across * math.cos(self.turn_rad)

    def chord(self, y: Array, x: Array) -> tuple[Array, Array]:
        """Cut the line's way through the endless cylinder with its way between the ends' planes."""
        dz, dy, dx = self._direction
        shift = dy * y + dx * x
        low, high = _roots(1 - dz**2, -dz * shift, y**2 + x**2 - shift**2 - self.radius_mm**2)
        low, high = (
            np.maximum(low, (-self.length_mm / 2 - shift) / dz),
            np.minimum(high, (self.length_mm / 2 - shift) / dz),
        )
        return low, np.maximum(low, high)


def _roots(a: float, half_b: Array, c: Array) -> tuple[Array, Array]:
    """Return both roots of a z^2 + 2 half_b z + c, equal where there are none."""
    if a < 1e-9:  # the line runs along an upright cylinder
        endless = np.where(c < 0, 1e6, 0.0)
        return -endless, endless
    root = np.sqrt(np.maximum(half_b**2 - a * c, 0)) / a
    middle = -half_b / a
    return middle - root, middle + root
