"""A generated chest whose lesions are known on paper. Arrays only; `phantom_dicom.py` writes it as a CT series.

Coordinates are LPS millimetres with the origin in the middle of the chest, axes of arrays (slice, row, column).
A voxel's value is a mean over the voxel (partial volume), so that a lesion's true volume is that of its ellipsoid.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Array = NDArray[np.float32]
Point = tuple[float, float, float]

AIR, FAT, MUSCLE, BONE, BLOOD, PARENCHYMA = -1000.0, -90.0, 45.0, 380.0, 50.0, -860.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomLesion:
    """An ellipsoid: centre in LPS mm, half axes in mm, the first two turned in the axial plane."""

    centre_mm: Point
    half_axes_mm: Point
    turn_rad: float = 0.0
    hu: float = 40.0

    @property
    def volume_ml(self) -> float:
        """4/3 pi abc."""
        return 4 / 3 * math.pi * math.prod(self.half_axes_mm) / 1000

    @property
    def long_axis_mm(self) -> float:
        """The longest axis in the axial plane through the centre."""
        return 2 * max(self.half_axes_mm[:2])

    @property
    def short_axis_mm(self) -> float:
        """The axis perpendicular to the long one in the same plane."""
        return 2 * min(self.half_axes_mm[:2])


DEMO_LESIONS = (
    PhantomLesion(centre_mm=(-78.0, -12.0, 34.0), half_axes_mm=(18.0, 15.0, 16.0), turn_rad=0.5),
    PhantomLesion(centre_mm=(94.0, 12.0, -84.0), half_axes_mm=(13.0, 13.0, 13.0)),
    PhantomLesion(centre_mm=(66.0, -22.0, 58.0), half_axes_mm=(10.5, 10.5, 10.5)),
)
"""They lie free in the lung: where a lesion meets a vessel or the heart, no edge is known on paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomSpec:
    """What to generate: the grid, the lesions, and the seed of all that is random."""

    seed: int = 1
    spacing_mm: Point = (2.5, 0.9, 0.9)
    shape: tuple[int, int, int] = (104, 384, 384)
    lesions: tuple[PhantomLesion, ...] = DEMO_LESIONS
    noise_hu: float = 18.0
    vessels_per_lung: int = 26


@dataclass(frozen=True, slots=True, kw_only=True)
class Phantom:
    """The generated chest. hu: float32 (slice, row, column). affine: voxel index to LPS mm."""

    spec: PhantomSpec
    hu: Array
    affine: NDArray[np.float64]


@dataclass(slots=True)
class _Canvas:
    """The volume being painted, with its voxel centres in mm as broadcastable axes."""

    spec: PhantomSpec
    hu: Array
    axes: tuple[Array, Array, Array] = field(init=False)  # z, y, x

    def __post_init__(self) -> None:
        z, y, x = (
            ((np.arange(n) - (n - 1) / 2) * step).astype(np.float32)
            for n, step in zip(self.spec.shape, self.spec.spacing_mm, strict=True)
        )
        self.axes = (z[:, None, None], y[None, :, None], x[None, None, :])

    def paint(self, inside: Array, value: float | Array, where: tuple[slice, ...] = (slice(None),) * 3) -> None:
        """Blend `value` in by the share of each voxel that lies inside."""
        self.hu[where] += inside * (value - self.hu[where])


def chest_phantom(spec: PhantomSpec | None = None) -> Phantom:
    """Generate the chest of `spec`; the same spec gives the same voxels."""
    spec = spec or PhantomSpec()
    rng = np.random.default_rng(spec.seed)
    canvas = _Canvas(spec, np.full(spec.shape, AIR, np.float32))
    _paint_trunk(canvas)
    lungs = _paint_lungs(canvas, rng)
    _paint_mediastinum(canvas)
    for side in (-1, 1):
        _paint_vessels(canvas, lungs, side, rng)
    for lesion in spec.lesions:
        _paint_lesion(canvas, lesion)
    _add_noise(canvas, rng)
    affine = np.zeros((4, 4))
    for axis, (n, step) in enumerate(zip(spec.shape, spec.spacing_mm, strict=True)):
        affine[2 - axis, axis] = step
        affine[2 - axis, 3] = -(n - 1) / 2 * step
    affine[3, 3] = 1
    return Phantom(spec=spec, hu=np.clip(np.rint(canvas.hu), -1024, 3071), affine=affine)


def _paint_trunk(canvas: _Canvas) -> None:
    canvas.paint(_ellipsoid(canvas, (0, 0, 0), (170, 122, 1e4)), FAT)
    canvas.paint(_ellipsoid(canvas, (0, 0, 0), (158, 112, 1e4)), MUSCLE)
    z, y, x = canvas.axes
    # Ribs: a tilted ring every 24 mm, between the lungs and the skin.
    ring = np.sqrt((x / 145) ** 2 + (y / 102) ** 2)
    height = (z + 0.35 * y + 0.05 * np.abs(x)) % 24 - 12
    distance = np.sqrt(((ring - 1) * 120) ** 2 + height**2)
    canvas.paint(_soft(distance.astype(np.float32) - 4.5, 1.0) * (y > -85), BONE)


def _paint_lungs(canvas: _Canvas, rng: np.random.Generator) -> Array:
    inside = np.zeros(canvas.spec.shape, np.float32)
    for side in (-1, 1):
        inside = np.maximum(inside, _ellipsoid(canvas, (side * 76, -2, -12), (60, 88, 128)))
    texture = gaussian_filter(rng.normal(0, 1, canvas.spec.shape).astype(np.float32), 2.0)
    texture *= 25 / max(float(texture.std()), 1e-6)
    gravity = canvas.axes[1] * 0.35  # the dependent lung is denser
    canvas.paint(inside, (PARENCHYMA + gravity + texture).astype(np.float32))
    return inside


def _paint_mediastinum(canvas: _Canvas) -> None:
    canvas.paint(_ellipsoid(canvas, (0, 4, 0), (32, 62, 1e4)), 10.0)
    canvas.paint(_ellipsoid(canvas, (22, -28, -48), (58, 48, 58)), BLOOD)  # heart
    canvas.paint(_ellipsoid(canvas, (20, 48, 0), (13, 13, 1e4)), BLOOD)  # descending aorta
    canvas.paint(_ellipsoid(canvas, (4, -22, 62), (24, 26, 26)), BLOOD)  # aortic arch
    canvas.paint(_ellipsoid(canvas, (0, 78, 0), (20, 22, 1e4)), BONE)  # spine
    canvas.paint(_ellipsoid(canvas, (0, 101, 0), (6, 20, 1e4)), BONE)
    canvas.paint(_ellipsoid(canvas, (0, -106, 10), (20, 6, 90)), BONE)  # sternum
    canvas.paint(_ellipsoid(canvas, (0, 12, 100), (9, 9, 78)), AIR)  # trachea
    for side in (-1, 1):
        for step in range(12):  # main bronchi
            _stamp(canvas, (side * (3 + 4.0 * step), 12 + step, 24 - 3.2 * step), 6.5, AIR)


def _paint_vessels(canvas: _Canvas, lungs: Array, side: int, rng: np.random.Generator) -> None:
    """Branches from the hilum to the edge of the lung, thinning on their way."""
    for _ in range(canvas.spec.vessels_per_lung):
        aim = rng.normal(0, 1, 3) * (0.8, 1.0, 1.3)
        aim[0] = side * abs(aim[0])
        aim /= np.linalg.norm(aim)
        _grow(canvas, lungs, np.array([side * 38.0, 8.0, -4.0]), aim, float(rng.uniform(2.6, 5.0)), rng)


def _grow(canvas: _Canvas, lungs: Array, tip: NDArray[np.float64], aim: NDArray[np.float64],
          radius: float, rng: np.random.Generator) -> None:  # fmt: skip
    while radius > 0.7:
        tip = tip + aim * 1.5
        aim = aim + rng.normal(0, 0.06, 3)
        aim /= np.linalg.norm(aim)
        radius *= 0.982
        if not _is_inside(canvas, lungs, tip) and radius < 3:
            return
        _stamp(canvas, (float(tip[0]), float(tip[1]), float(tip[2])), radius, BLOOD)
        if radius > 1.1 and rng.random() < 0.035:
            fork = aim + rng.normal(0, 0.7, 3)
            _grow(canvas, lungs, tip.copy(), fork / np.linalg.norm(fork), radius * 0.75, rng)


def _paint_lesion(canvas: _Canvas, lesion: PhantomLesion) -> None:
    where = _box(canvas, lesion.centre_mm, max(lesion.half_axes_mm) + 6)
    inside = _ellipsoid_in_box(canvas, lesion, where)
    canvas.paint(inside, lesion.hu, where)


def _ellipsoid_in_box(canvas: _Canvas, lesion: PhantomLesion, where: tuple[slice, slice, slice]) -> Array:
    """The share of each voxel inside the ellipsoid: 5 x 3 x 3 points a voxel, counted."""
    z, y, x = (axis[tuple(s if axis.shape[i] > 1 else slice(None) for i, s in enumerate(where))]
               for axis in canvas.axes)  # fmt: skip
    (cx, cy, cz), (a, b, c) = lesion.centre_mm, lesion.half_axes_mm
    cos, sin = math.cos(lesion.turn_rad), math.sin(lesion.turn_rad)
    total: Array = np.zeros(np.broadcast_shapes(z.shape, y.shape, x.shape), np.float32)
    points = [(dz, dy, dx) for dz in _offsets(5) for dy in _offsets(3) for dx in _offsets(3)]
    step_z, step_y, step_x = canvas.spec.spacing_mm
    for dz, dy, dx in points:
        u, v, w = x + dx * step_x - cx, y + dy * step_y - cy, z + dz * step_z - cz
        total += ((cos * u + sin * v) / a) ** 2 + ((cos * v - sin * u) / b) ** 2 + (w / c) ** 2 <= 1
    return total / np.float32(len(points))


def _add_noise(canvas: _Canvas, rng: np.random.Generator) -> None:
    """Point spread of a medium kernel, then noise with a grain of its own."""
    in_plane = 0.6 / canvas.spec.spacing_mm[1]
    canvas.hu = gaussian_filter(canvas.hu, (0, in_plane, in_plane))
    noise = gaussian_filter(rng.normal(0, 1, canvas.spec.shape).astype(np.float32), (0, 0.7, 0.7))
    canvas.hu += noise * np.float32(canvas.spec.noise_hu / float(noise.std()))


def _offsets(n: int) -> Iterable[float]:
    return [(i + 0.5) / n - 0.5 for i in range(n)]


def _soft(signed_distance: Array, width: float) -> Array:
    """1 inside, 0 outside, a ramp of `width` mm between."""
    return np.asarray(np.clip(0.5 - signed_distance / width, 0, 1), np.float32)


def _ellipsoid(canvas: _Canvas, centre: Point, half_axes: Point) -> Array:
    z, y, x = canvas.axes
    u, v, w = x - centre[0], y - centre[1], z - centre[2]
    a, b, c = half_axes
    f = np.sqrt((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2)
    slope = np.sqrt(u**2 / a**4 + v**2 / b**4 + w**2 / c**4)
    return _soft(f * (f - 1) / np.maximum(slope, 1e-6), canvas.spec.spacing_mm[1])


def _box(canvas: _Canvas, centre: Point, reach: float) -> tuple[slice, slice, slice]:
    return tuple(
        slice(*np.searchsorted(axis.ravel(), [middle - reach, middle + reach]))
        for axis, middle in zip(canvas.axes, centre[::-1], strict=True)
    )  # type: ignore[return-value]


def _is_inside(canvas: _Canvas, lungs: Array, point: NDArray[np.float64]) -> bool:
    index = tuple(
        round(float(middle / step + (n - 1) / 2))
        for middle, step, n in zip(point[::-1], canvas.spec.spacing_mm, canvas.spec.shape, strict=True)
    )
    return all(0 <= i < n for i, n in zip(index, canvas.spec.shape, strict=True)) and bool(lungs[index] > 0.5)


def _stamp(canvas: _Canvas, centre: Point, radius: float, value: float) -> None:
    """Paint a small ball: the pen with which tubes are drawn."""
    where = _box(canvas, centre, radius + max(canvas.spec.spacing_mm))
    z, y, x = (axis[tuple(s if axis.shape[i] > 1 else slice(None) for i, s in enumerate(where))]
               for axis in canvas.axes)  # fmt: skip
    r = np.sqrt((x - centre[0]) ** 2 + (y - centre[1]) ** 2 + (z - centre[2]) ** 2)
    inside = _soft(r - radius, max(canvas.spec.spacing_mm[0] * 0.6, 1.0))
    if value < AIR / 2:
        canvas.paint(inside, value, where)
    else:
        canvas.hu[where] = np.maximum(canvas.hu[where], canvas.hu[where] * (1 - inside) + value * inside)
