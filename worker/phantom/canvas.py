"""The volume that a phantom is drawn into: ellipsoids with soft or exact edges, and balls that form tubes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from worker.phantom.patient_pose import PatientPose

Array = NDArray[np.float32]
Point = tuple[float, float, float]
Axes = tuple[Array, Array, Array]
UNBOUNDED_MM = 1e4
"""An ellipsoid with a half axis of this length or more extends beyond the chest in that direction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomLesion:
    """An ellipsoid: centre in LPS mm of the scan, half axes in mm, the first two rotated in the axial plane."""

    centre_mm: Point
    half_axes_mm: Point
    turn_rad: float = 0.0
    hu: float = 40.0

    @property
    def volume_ml(self) -> float:
        """4/3 pi a b c."""
        return 4 / 3 * math.pi * math.prod(self.half_axes_mm) / 1000

    @property
    def long_axis_mm(self) -> float:
        """The longest axis in the axial plane through the centre."""
        return 2 * max(self.half_axes_mm[:2])

    @property
    def short_axis_mm(self) -> float:
        """The axis perpendicular to the long axis in the same plane."""
        return 2 * min(self.half_axes_mm[:2])


@dataclass(slots=True)
class Canvas:
    """A volume in HU, axes (slice, row, column), with its voxel centres in mm as broadcastable axes z, y, x.

    Two coordinate systems: the scan, and the reference chest, which is the scan without pose and breath.
    """

    shape: tuple[int, int, int]
    spacing_mm: Point
    background_hu: float
    pose: PatientPose | None = None
    """None: the scan is the reference chest."""
    hu: Array = field(init=False)
    grid: Axes = field(init=False)
    """Voxel centres in the scan."""
    chest: Axes = field(init=False)
    """Voxel centres in the reference chest."""

    def __post_init__(self) -> None:
        z, y, x = (
            ((np.arange(n) - (n - 1) / 2) * step).astype(np.float32)
            for n, step in zip(self.shape, self.spacing_mm, strict=True)
        )
        self.hu = np.full(self.shape, self.background_hu, np.float32)
        self.grid = (z[:, None, None], y[None, :, None], x[None, None, :])
        self.chest = self.grid
        if self.pose is not None:
            u, v, w = self.pose.to_chest(*self.grid[::-1])
            self.chest = (w, v, u)

    def paint(self, inside: Array, value: float | Array, where: tuple[slice, ...] = (slice(None),) * 3) -> None:
        """Blend `value` (HU) in by the fraction of each voxel that lies inside."""
        self.hu[where] += inside * (value - self.hu[where])

    def paint_lesion(self, lesion: PhantomLesion) -> None:
        """Draw an exact ellipsoid, which is not deformed with the chest."""
        where = self._box(lesion.centre_mm, max(lesion.half_axes_mm) + 6)
        self.paint(self._fraction_inside(lesion, where), lesion.hu, where)

    def stamp(self, centre: Point, radius: float, value: float, *, is_hollow: bool = False) -> None:
        """Draw a small ball with its centre in the reference chest; a row of balls makes a tube."""
        if self.pose is not None:
            centre = self.pose.to_scan(centre)
        where = self._box(centre, radius + max(self.spacing_mm))
        z, y, x = _cut(self.grid, where)
        r = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
        inside = soft(r - radius, max(self.spacing_mm[0] * 0.6, 1.0))
        if is_hollow:
            self.paint(inside, value, where)
        else:
            self.hu[where] = np.maximum(self.hu[where], self.hu[where] * (1 - inside) + value * inside)

    def ellipsoid(self, centre: Point, half_axes: Point) -> Array:
        """Return the fraction of each voxel inside an ellipsoid of the reference chest, with an edge one voxel wide.

        Broadcastable to the volume; a single slice if the ellipsoid is unbounded along z.
        """
        z, y, x = self.chest
        if self.pose is not None and half_axes[2] >= UNBOUNDED_MM:
            z = np.full_like(z[:1], centre[2])  # the same in every slice
        u, v, w = x - centre[0], y - centre[1], z - centre[2]
        a, b, c = half_axes
        f = np.sqrt((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2)
        slope = np.sqrt(u**2 / a**4 + v**2 / b**4 + w**2 / c**4)
        return soft(f * (f - 1) / np.maximum(slope, 1e-6), self.spacing_mm[1])

    def _fraction_inside(self, lesion: PhantomLesion, where: tuple[slice, slice, slice]) -> Array:
        """Return the fraction of 5 x 3 x 3 sample points per voxel that lie inside the ellipsoid."""
        z, y, x = _cut(self.grid, where)
        (cx, cy, cz), (a, b, c) = lesion.centre_mm, lesion.half_axes_mm
        cos, sin = math.cos(lesion.turn_rad), math.sin(lesion.turn_rad)
        total: Array = np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape), np.float32)
        points = [(dz, dy, dx) for dz in _offsets(5) for dy in _offsets(3) for dx in _offsets(3)]
        step_z, step_y, step_x = self.spacing_mm
        for dz, dy, dx in points:
            u, v, w = x + dx * step_x - cx, y + dy * step_y - cy, z + dz * step_z - cz
            total += ((cos * u + sin * v) / a) ** 2 + ((cos * v - sin * u) / b) ** 2 + (w / c) ** 2 <= 1
        return total / np.float32(len(points))

    def _box(self, centre: Point, reach: float) -> tuple[slice, slice, slice]:
        return tuple(
            slice(*np.searchsorted(axis.ravel(), [middle - reach, middle + reach]))
            for axis, middle in zip(self.grid, centre[::-1], strict=True)
        )  # type: ignore[return-value]


def soft(signed_distance: Array, width: float) -> Array:
    """Return 1 inside, 0 outside, with a linear ramp `width` mm wide at the edge; the distance is negative inside."""
    return np.asarray(np.clip(0.5 - signed_distance / width, 0, 1), np.float32)


def _cut(axes: Axes, where: tuple[slice, slice, slice]) -> Axes:
    return tuple(axis[tuple(s if axis.shape[i] > 1 else slice(None) for i, s in enumerate(where))] for axis in axes)  # type: ignore[return-value]


def _offsets(n: int) -> Iterable[float]:
    return [(i + 0.5) / n - 0.5 for i in range(n)]
