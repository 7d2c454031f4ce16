"""Names the lobes in masks of both lungs, from the usual positions of the fissures in each lung's own proportions.

The image is not used. Each fissure is a surface in coordinates of its lung's box: z from base (0) to apex (1), y from
the front (0) to the back (1), u from the middle of the body (0) to the side (1). Sources of the assumptions:

* Shares of volume: Yamada et al., Respiration 2020;99:598-605, table 3, supine CT at full inspiration, 32 volunteers.
* The oblique fissure ends on the diaphragm, on the right just behind the anterior costophrenic angle, on the left about
  5 cm behind it (Radiopaedia, "Oblique fissure"), near the sixth costochondral junction. The angle is found in the
  mask. At the back the fissure begins between the spinous process of T2 and the lower edge of T5, the range of surface
  markings in anatomy books. Vertebrae are shares of a lung that reaches from T1 to T12.
* Its upper part faces sideways; its lower part also faces sideways on the right, and to the middle on the left. The
  horizontal fissure descends to the front and to the side (Raasch et al., AJR 1982;138:1043-1049; 100 specimens).
* The horizontal fissure meets the front at the fourth costal cartilage, about the height of T7.

Volumes determine each fissure's height, the other sources its slope. No parameter was fitted to an atlas or to
patients.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.lungs.lungs import Lobe
from models.lungs.sides import Sides

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Mm3 = tuple[float, float, float]

# Yamada 2020: right lung 53.6 % of both, its lobes 17.9, 9.3 and 26.5 %; left lung 46.4 %, its lower lobe 23.2 %.
RIGHT_LOWER_SHARE = 26.5 / 53.6
RIGHT_MIDDLE_SHARE = 9.3 / 53.6
LEFT_LOWER_SHARE = 23.2 / 46.4

HORIZONTAL_HEIGHT = 0.57
"""Of the fourth costal cartilage: T7 of T1 to T12, whose heights increase from 19 to 29 mm."""
FRONT_HEIGHT = 0.3
"""Above the sixth costochondral junction, about T9: an end higher than this is on the heart."""
BACK_HEIGHTS = (0.60, 0.85)
"""Of the lower edge of T5 and of the spinous process of T2."""
HORIZONTAL_FALL = (0.10, 0.08)
"""Of the horizontal fissure, from the back to the front and from the middle to the side: about 8 degrees each."""


STEEPNESSES = np.arange(0.3, 1.3, 0.02)
SAMPLE = 11
"""Every n-th voxel is used to compute the share of volume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Oblique:
    """Assumptions on one oblique fissure."""

    lower_share: float
    behind_angle_mm: float
    turn_at_apex: float
    turn_at_base: float
    """How much farther back it is at the side than in the middle, in depths of the lung: 0.1 is 10 degrees."""


RIGHT = _Oblique(lower_share=RIGHT_LOWER_SHARE, behind_angle_mm=10.0, turn_at_apex=0.1, turn_at_base=0.1)
LEFT = _Oblique(lower_share=LEFT_LOWER_SHARE, behind_angle_mm=50.0, turn_at_apex=0.1, turn_at_base=-0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lung:
    """The voxels of one lung in its own proportions, and its height and depth in mm."""

    index: NDArray[np.intp]  # (n, 3), upright
    z: Floats
    y: Floats
    u: Floats
    height_mm: float
    depth_mm: float

    @classmethod
    def of(cls, mask: Bools, spacing: Mm3, *, is_right: bool) -> _Lung:
        index = np.argwhere(mask)
        first, size = index.min(0), np.ptp(index, 0) + 1
        z, y, x = ((index - first + 0.5) / size).T
        height, depth, _ = size * spacing
        return cls(index=index, z=z, y=y, u=1 - x if is_right else x, height_mm=height, depth_mm=depth)


def lobes_of(sides: Sides, spacing: Mm3) -> NDArray[np.uint8]:
    """Return the Lobe of each voxel of both lungs (upright masks, neither empty), 0 elsewhere."""
    lobes = np.zeros(sides.right.shape, np.uint8)
    right = _Lung.of(sides.right, spacing, is_right=True)
    is_lower = _is_lower(right, RIGHT)
    is_middle = ~is_lower & _is_below_horizontal(right, is_lower)
    names = np.where(is_lower, Lobe.RIGHT_LOWER, np.where(is_middle, Lobe.RIGHT_MIDDLE, Lobe.RIGHT_UPPER))
    lobes[tuple(right.index.T)] = names
    left = _Lung.of(sides.left, spacing, is_right=False)
    lobes[tuple(left.index.T)] = np.where(_is_lower(left, LEFT), Lobe.LEFT_LOWER, Lobe.LEFT_UPPER)
    return lobes


def _is_lower(lung: _Lung, fissure: _Oblique) -> Bools:
    """Return which voxels are below and behind the oblique fissure."""
    front = _end_on_diaphragm(lung, fissure.behind_angle_mm)
    turn = fissure.turn_at_base + (fissure.turn_at_apex - fissure.turn_at_base) * lung.z
    depth = lung.y - turn * (lung.u - 0.5)
    steepness, height = _plane(depth, lung.z, fissure.lower_share, front)
    is_lower: Bools = lung.z < height + steepness * depth
    return is_lower


def _end_on_diaphragm(lung: _Lung, behind_angle_mm: float) -> tuple[float, float]:
    """Return y and z at which the fissure meets the diaphragm: medians over the sagittal planes of the outer half."""
    ends = []
    columns = lung.index[:, 2]
    is_outer = (lung.u > 0.4) & (lung.u < 0.8)
    for column in np.unique(columns[is_outer]):
        y, z = lung.y[columns == column], lung.z[columns == column]
        # The anterior costophrenic angle is the lung's farthest point to the front and below.
        angle = np.argmin(z * lung.height_mm + y * lung.depth_mm)
        end = y[angle] + behind_angle_mm / lung.depth_mm
        here = np.abs(y - end) <= np.abs(y - end).min()
        ends.append((end, z[here].min()))
    y0, z0 = np.median(ends, axis=0)
    return float(y0), min(float(z0), FRONT_HEIGHT)


def _plane(y: Floats, z: Floats, lower_share: float, front: tuple[float, float]) -> tuple[float, float]:
    """Return a and b of the plane z = b + a * y with the lower lobe's share below it that is nearest to `front`.

    Only planes whose rear end is within BACK_HEIGHTS are considered.
    """
    y, z = y[::SAMPLE], z[::SAMPLE]
    planes = [(float(a), float(np.quantile(z - a * y, lower_share))) for a in STEEPNESSES]
    lowest, highest = BACK_HEIGHTS
    allowed = [(a, b) for a, b in planes if lowest <= a + b <= highest] or planes
    return min(allowed, key=lambda plane: abs(plane[1] + plane[0] * front[0] - front[1]))


def _is_below_horizontal(lung: _Lung, is_lower: Bools) -> Bools:
    """Return which voxels are below the horizontal fissure: half way between the landmark and the share of volume."""
    to_front, to_side = HORIZONTAL_FALL
    height = lung.z - to_front * (lung.y - 0.5) + to_side * (lung.u - 0.5)
    by_volume = np.quantile(height[~is_lower], RIGHT_MIDDLE_SHARE / (1 - RIGHT_LOWER_SHARE))
    is_below: Bools = height < (by_volume + HORIZONTAL_HEIGHT) / 2
    return is_below
