"""Scans of bodies whose sizes are known on paper (bodies.py). Measures nothing.

Coordinates are LPS mm, axes of arrays (slice, row, column). A body is put anywhere between the voxels of a stack that
may lie in any direction. Each voxel is the mean of the body's share over its area and the slice profile (partial
volume), seen through the point spread of the kernel, with noise of a grain of about a pixel. The outline is the
half-way threshold, without smoothing: a blur of sigma would shrink a ball of radius R by 2 (sigma / R)^2 in volume.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from models.segmenter import ModelCard
from models.volume import Mask, Volume
from tests.worker.bodies import Array, Body, Cylinder, Ellipsoid
from worker.lesions import Lesion, find_lesions

KINDS = {"sphere": 0.3, "ellipsoid": 0.4, "cylinder": 0.3}
"""The share of each kind of body among the draws."""
CARD = ModelCard(name="ideal", version="1", weights_file="", weights_sha256="", licence="", threshold=0.5,
                 smallest_lesion_ml=0.0)  # fmt: skip
RAYS = 3
"""Lines per pixel and side on which a body's share is integrated, exactly along the slice normal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How a body is scanned."""

    slice_mm: float
    pixel_mm: float
    noise_hu: float
    lesion_hu: float
    lung_hu: float
    point_spread_mm: float
    """Standard deviation of the kernel's point spread, in the slice."""
    collimation_mm: float
    """A slice is the mean over its thickness of rows this wide: its profile is a trapezoid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """A body, how it is scanned, and the seed of its place, its direction and its noise."""

    kind: str
    body: Body
    setting: Setting
    seed: int


def draw(rng: np.random.Generator, slice_mm: float | None = None, diameter_mm: float | None = None) -> Draw:
    """Draw a body of 6 to 50 mm (diameter of the ball of equal volume) and a setting, evenly in their logarithms."""
    diameter = diameter_mm or float(np.exp(rng.uniform(np.log(6), np.log(50))))
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    return Draw(
        kind=kind, body=_body(kind, diameter, rng), setting=_setting(rng, slice_mm), seed=int(rng.integers(2**32))
    )


def _body(kind: str, diameter_mm: float, rng: np.random.Generator) -> Body:
    if kind == "cylinder":
        slenderness = float(rng.uniform(1.0, 2.5))  # length by diameter
        tilt = float(rng.uniform(0, min(math.radians(50), 0.9 * math.atan(slenderness))))
        radius = diameter_mm / 2 * (2 / (3 * slenderness)) ** (1 / 3)
        return Cylinder(radius_mm=radius, length_mm=2 * radius * slenderness, tilt_rad=tilt,
                        turn_rad=float(rng.uniform(0, 2 * math.pi)))  # fmt: skip
    shape = np.ones(3) if kind == "sphere" else rng.uniform(0.55, 1.0, 3)
    a, b, c = (diameter_mm / 2 * shape / np.prod(shape) ** (1 / 3)).tolist()
    return Ellipsoid(half_axes_mm=(a, b, c), turn=np.linalg.qr(rng.normal(size=(3, 3)))[0])


def _setting(rng: np.random.Generator, slice_mm: float | None) -> Setting:
    thickness = slice_mm or float(np.exp(rng.uniform(np.log(0.6), np.log(8))))
    return Setting(
        slice_mm=thickness,
        pixel_mm=float(rng.uniform(0.5, 1.0)),
        noise_hu=float(rng.uniform(5, 60)),
        lesion_hu=float(rng.uniform(-350, 80)),
        lung_hu=float(rng.uniform(-900, -780)),
        point_spread_mm=float(rng.uniform(0.25, 0.5)),
        collimation_mm=min(thickness, float(rng.uniform(0.5, 1.25))),
    )


def scan(drawn: Draw) -> Volume:
    """Return the stack that shows the body, in any direction, and the body anywhere between its voxels."""
    rng = np.random.default_rng(drawn.seed)
    setting = drawn.setting
    spacing = (setting.slice_mm, setting.pixel_mm, setting.pixel_mm)
    margin_mm = (1.5 * setting.slice_mm + 1, 3.0, 3.0)
    z, y, x = (
        np.asarray((np.arange(-n, n + 1) + rng.uniform(-0.5, 0.5)) * step, np.float64)
        for n, step in (
            (math.ceil((reach + more) / step), step)
            for reach, more, step in zip(drawn.body.reach_mm, margin_mm, spacing, strict=True)
        )
    )
    share = gaussian_filter(_share(drawn, z, y, x), (0, *[setting.point_spread_mm / setting.pixel_mm] * 2))
    noise = gaussian_filter(rng.standard_normal(share.shape, np.float32), (0, 0.6, 0.6))
    hu = setting.lung_hu + (setting.lesion_hu - setting.lung_hu) * share + noise * (setting.noise_hu / noise.std())
    return Volume(hu=hu, affine=_affine(spacing, rng))


def _share(drawn: Draw, z: Array, y: Array, x: Array) -> Array:
    """Return the share of each voxel that lies in the body, weighted by the slice profile."""
    total = np.zeros((len(z), len(y), len(x)), np.float32)
    offsets = ((np.arange(RAYS) + 0.5) / RAYS - 0.5) * drawn.setting.pixel_mm
    profile = _Profile(drawn.setting.slice_mm, drawn.setting.collimation_mm)
    for dy in offsets:
        for dx in offsets:
            low, high = drawn.body.chord(y[:, None] + dy, x[None, :] + dx)
            rows, columns = np.nonzero(high > low)
            ends = np.stack([high[rows, columns], low[rows, columns]])
            below = profile.below((ends[:, None, :] - z[None, :, None]).astype(np.float32))
            total[:, rows, columns] += below[0] - below[1]
    return total / RAYS**2


@dataclass(frozen=True, slots=True)
class _Profile:
    """A slice's trapezoid: the mean over `slice_mm` of rows of `collimation_mm`."""

    slice_mm: float
    collimation_mm: float

    def below(self, height_mm: Array) -> Array:
        """Return the share of the profile below a height over the slice's middle."""
        half, smear = self.slice_mm / 2, self.collimation_mm / 2
        within = np.clip(height_mm, -half - smear, half + smear)  # small numbers: their squares keep their precision
        areas = (
            sign * np.maximum(within + at, 0) ** 2
            for sign, at in ((1, half + smear), (-1, half - smear), (-1, smear - half), (1, -half - smear))
        )
        return np.asarray(sum(areas) / (2 * self.slice_mm * self.collimation_mm))


def _affine(spacing: tuple[float, float, float], rng: np.random.Generator) -> Array:
    """Return a stack in any direction, right- or left-handed, at any place."""
    affine = np.eye(4)
    affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.choice([-1, 1], 3) * spacing
    affine[:3, 3] = rng.uniform(-300, 300, 3)
    return affine


def outlined(drawn: Draw, volume: Volume) -> Lesion | None:
    """Return what lies above half-way between lung and lesion, the largest part; None where nothing does."""
    half_way = (drawn.setting.lesion_hu + drawn.setting.lung_hu) / 2
    lesions = find_lesions(Mask(voxels=volume.hu > half_way, affine=volume.affine), CARD, "f" * 64)
    return lesions[0] if lesions else None
