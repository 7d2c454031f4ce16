"""One phantom patient at five dates, 91 days apart: what becomes of eight lesions stands here on paper.

Anchors are LPS mm of the chest as drawn; each scan moves them by its breath, turn and shift (worker/demo/posture.py).
Half axes are mm and are not deformed. The first two lesions are the largest, and so the targets of RECIST.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from models.segmenter import ModelCard, Progress
from models.volume import Mask, Volume
from worker.demo.canvas import Point
from worker.demo.course import Visit, placed
from worker.demo.phantom import (
    LUNG_CENTRE_MM,
    LUNG_HALF_AXES_MM,
    SOLID_PARTS,
    PhantomLesion,
    PhantomSpec,
)
from worker.demo.posture import Posture

Affine = NDArray[np.float64]
Bools = NDArray[np.bool_]

BASELINE, INTERVAL_DAYS = datetime(2024, 1, 8, 9, 30), 91
DOUBLING_DAYS = 120.0
TWINS_APART_MM = 17.0
ANCHORS_MM: dict[str, Point] = {
    "shrinker": (-82.0, 30.0, -20.0),
    "splitter": (88.0, 20.0, 40.0),
    "grower": (-80.0, -30.0, 55.0),
    "stable": (-85.0, -10.0, -75.0),
    "vanisher": (100.0, 30.0, -70.0),
    "twins": (100.0, -15.0, -20.0),
    "newcomer": (-70.0, 45.0, 10.0),
}
CARD = ModelCard(
    name="truth", version="1", weights_file="", weights_sha256="0" * 64, licence="", threshold=0.5,
    smallest_lesion_ml=0.0,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueLesion:
    """One lesion as one scan has it: what is connected there."""

    key: str
    bodies: tuple[PhantomLesion, ...]
    """In the scan. Two of them overlap: two equal balls."""

    @property
    def centre_mm(self) -> Point:
        """LPS; of two equal balls the middle."""
        x, y, z = np.mean([body.centre_mm for body in self.bodies], axis=0)
        return float(x), float(y), float(z)

    @property
    def volume_ml(self) -> float:
        """4/3 pi abc; of two overlapping balls of radius r, d apart, less their lens: pi (4r + d) (2r - d)^2 / 12."""
        whole = sum(body.volume_ml for body in self.bodies)
        if len(self.bodies) == 1:
            return whole
        radius = self.bodies[0].half_axes_mm[0]
        return whole - math.pi * (4 * radius + TWINS_APART_MM) * (2 * radius - TWINS_APART_MM) ** 2 / 12000

    @property
    def long_axis_mm(self) -> float:
        """In the axial plane, as all lesions' longest axes are."""
        return self.bodies[0].long_axis_mm + (TWINS_APART_MM if len(self.bodies) > 1 else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimePoint:
    """One scan of the course."""

    visit: Visit
    lesions: tuple[TrueLesion, ...]

    @property
    def date(self) -> date:
        """Of the study."""
        return self.visit.when.date()

    def lesion(self, key: str) -> TrueLesion:
        """Return the lesion of this key."""
        return next(lesion for lesion in self.lesions if lesion.key == key)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueSegmenter:
    """A stand-in for the network that marks what is there: the follow-up is tested, not the network."""

    lesions: tuple[TrueLesion, ...]
    card: ModelCard = CARD

    def segment(self, volume: Volume, progress: Progress) -> Mask:
        progress(1.0)
        marked = np.zeros(volume.hu.shape, bool)
        for lesion in self.lesions:
            marked |= true_mask(lesion, volume.hu.shape, volume.affine)
        return Mask(voxels=marked, affine=volume.affine)


def true_mask(lesion: TrueLesion, shape: Sequence[int], affine: Affine) -> Bools:
    """Return the voxels whose centre lies in the lesion, on any grid."""
    marked = np.zeros(shape, bool)
    for body in lesion.bodies:
        box = _box(body, shape, affine)
        marked[box] |= _is_in(body, _points(box, affine))
    return marked


def true_lungs(point: TimePoint, shape: Sequence[int], affine: Affine) -> Bools:
    """Return both lungs with all that lies in them, less what lies between them."""
    everywhere = tuple(slice(0, n) for n in shape)
    x, y, z = (points.astype(np.float32) for points in np.moveaxis(_points(everywhere, affine), -1, 0))
    posture = point.visit.spec.posture or Posture()
    at = posture.to_chest(x, y, z)
    across, *others = LUNG_CENTRE_MM
    lungs = _is_in_ellipsoid(at, (across, *others), LUNG_HALF_AXES_MM)  # type: ignore[arg-type]
    lungs |= _is_in_ellipsoid(at, (-across, *others), LUNG_HALF_AXES_MM)  # type: ignore[arg-type]
    for centre, half_axes, _ in SOLID_PARTS:
        lungs &= ~_is_in_ellipsoid(at, centre, half_axes)
    return lungs


def phantom_course() -> tuple[TimePoint, ...]:
    """Return the five scans, by date. None resembles another in spacing, matrix, orientation, breath or place."""
    return tuple(_time_point(number, *scan) for number, scan in enumerate(_SCANS))


_SCANS: tuple[tuple[Point, tuple[int, int, int], tuple[int, ...], Posture], ...] = (
    ((2.5, 0.8, 0.8), (110, 352, 448), (), Posture(noise_seed=1)),
    (
        (1.25, 0.9, 0.9), (224, 300, 400), (0,),  # from head to feet
        Posture(breath=0.06, shift_mm=(0.0, -4.0, 15.0), noise_seed=2),
    ),
    (
        (5.0, 0.85, 0.85), (56, 350, 430), (1,),  # rows from back to front
        Posture(breath=-0.06, turn_deg=4.0, shift_mm=(6.0, -5.0, -8.0), noise_seed=3),
    ),
    (
        (3.0, 0.75, 0.75), (96, 400, 500), (1, 2),  # head first, prone
        Posture(breath=0.03, turn_deg=-5.0, shift_mm=(-8.0, 4.0, 10.0), noise_seed=4),
    ),
    (
        (2.0, 0.7, 0.7), (142, 400, 520), (0, 2),  # feet first, supine, from head to feet
        Posture(breath=0.08, turn_deg=3.0, shift_mm=(4.0, 3.0, 20.0), noise_seed=5),
    ),
)  # fmt: skip
"""Spacing, shape, flipped axes of storage, posture."""

_SHRINKER = ((18.0, 14.0, 15.0), (12.0, 10.0, 11.0), (8.5, 7.0, 8.0), (7.5, 6.0, 7.0), (6.5, 5.5, 6.0))
_SPLITTER = ((8.0, 16.0, 8.0), (7.5, 15.0, 7.5))
_FRONT = {2: (6.0, 6.5, 6.0), 3: (6.0, 6.5, 6.0), 4: (5.5, 6.0, 5.5)}
_BACK = {2: (5.5, 6.0, 5.5), 3: (5.5, 6.0, 5.5), 4: (5.0, 5.5, 5.0)}
_VANISHER = (5.0, 4.5)
_TWIN = (6.0, 6.5, 7.0, 9.5, 9.5)
"""Radii: 2 x 9.5 > 17, so from the fourth scan on they are one."""


def _time_point(
    number: int, spacing_mm: Point, shape: tuple[int, int, int], flipped: tuple[int, ...], posture: Posture
) -> TimePoint:
    lesions = tuple(
        TrueLesion(key=key, bodies=placed(posture, ANCHORS_MM[anchor], *bodies))
        for key, anchor, bodies in _lesions(number)
    )
    bodies = tuple(body for lesion in lesions for body in lesion.bodies)
    spec = PhantomSpec(spacing_mm=spacing_mm, shape=shape, lesions=bodies, posture=posture)
    when = BASELINE + timedelta(days=INTERVAL_DAYS * number)
    return TimePoint(visit=Visit(name=f"visit {number}", when=when, spec=spec, flipped=flipped), lesions=lesions)


def _lesions(number: int) -> list[tuple[str, str, list[PhantomLesion]]]:
    """Key, anchor and bodies of what is there at a scan."""
    grown_mm = 6.0 * 2 ** (INTERVAL_DAYS * number / DOUBLING_DAYS / 3)
    twins = [_ball(_TWIN[number], y) for y in (-TWINS_APART_MM / 2, TWINS_APART_MM / 2)]
    found = [
        ("shrinker", "shrinker", [_body(_SHRINKER[number])]),
        ("grower", "grower", [_ball(grown_mm)]),
        ("stable", "stable", [_ball(7.0)]),
    ]
    if number < 2:
        found.append(("splitter", "splitter", [_body(_SPLITTER[number])]))
        found.append(("vanisher", "vanisher", [_ball(_VANISHER[number])]))
    else:
        found.append(("splitter front", "splitter", [_body(_FRONT[number], -9.5)]))
        found.append(("splitter back", "splitter", [_body(_BACK[number], 9.5)]))
    if number < 3:
        found += [("twin front", "twins", twins[:1]), ("twin back", "twins", twins[1:])]
    else:
        found.append(("twins", "twins", twins))
    if number == 4:
        found.append(("newcomer", "newcomer", [_ball(8.0)]))
    return found


def _body(half_axes_mm: Point, y: float = 0.0) -> PhantomLesion:
    return PhantomLesion(centre_mm=(0.0, y, 0.0), half_axes_mm=half_axes_mm)


def _ball(radius_mm: float, y: float = 0.0) -> PhantomLesion:
    return _body((radius_mm, radius_mm, radius_mm), y)


def _box(body: PhantomLesion, shape: Sequence[int], affine: Affine) -> tuple[slice, ...]:
    reach = max(body.half_axes_mm)
    corners = np.array([np.subtract(body.centre_mm, reach), np.add(body.centre_mm, reach)])
    index = (corners - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    low, high = np.floor(index.min(axis=0)).astype(int), np.ceil(index.max(axis=0)).astype(int) + 1
    return tuple(slice(max(0, a), min(n, b)) for a, b, n in zip(low, high, shape, strict=True))


def _points(box: tuple[slice, ...], affine: Affine) -> NDArray[np.float64]:
    index = np.stack(np.meshgrid(*(np.arange(side.start, side.stop) for side in box), indexing="ij"), axis=-1)
    points: NDArray[np.float64] = index @ affine[:3, :3].T + affine[:3, 3]
    return points


def _is_in(body: PhantomLesion, at: NDArray[np.float64]) -> Bools:
    x, y, z = np.moveaxis(at - np.array(body.centre_mm), -1, 0)
    cos, sin = math.cos(body.turn_rad), math.sin(body.turn_rad)
    return _is_in_ellipsoid((cos * x + sin * y, cos * y - sin * x, z), (0.0, 0.0, 0.0), body.half_axes_mm)


def _is_in_ellipsoid(at: Sequence[NDArray[np.floating]], centre: Point, half_axes: Point) -> Bools:
    inside: Bools = sum(((at[i] - centre[i]) / half_axes[i]) ** 2 for i in range(3)) <= 1  # type: ignore[assignment]
    return inside
