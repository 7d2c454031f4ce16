"""How a patient lies and breathes in one scan: where each point of the chest comes to lie. Paints nothing.

Both ways are written on paper. A deeper breath moves the base of the lungs towards the feet and the breast bone to the
front, apex and back stay: with h the height below the apex, h' = h + breath h^2 / L, and likewise, half as much, to the
front. Then the chest is turned about its long axis and shifted. Coordinates are LPS millimetres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

APEX_Z_MM, LUNG_HEIGHT_MM = 116.0, 256.0
BACK_Y_MM, LUNG_DEPTH_MM = 86.0, 176.0

Field = NDArray[np.float32]
Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Posture:
    """One scan of a chest that may lie and breathe otherwise in another."""

    breath: float = 0.0
    """By which share the lungs are higher than as drawn; -0.2 to 0.2."""
    turn_deg: float = 0.0
    """Towards the patient's left side, about the long axis."""
    shift_mm: Point = (0.0, 0.0, 0.0)
    noise_seed: int = 0
    """Of what is random in the scan; the chest has a seed of its own."""

    @property
    def turn_rad(self) -> float:
        """The turn, as PhantomLesion has it."""
        return math.radians(self.turn_deg)

    def to_scan(self, point_mm: Point) -> Point:
        """Return where a point of the chest as drawn lies in the scan."""
        x, y, z = point_mm
        y = BACK_Y_MM - _stretched(BACK_Y_MM - y, self.breath / 2, LUNG_DEPTH_MM)
        z = APEX_Z_MM - _stretched(APEX_Z_MM - z, self.breath, LUNG_HEIGHT_MM)
        cos, sin = math.cos(self.turn_rad), math.sin(self.turn_rad)
        dx, dy, dz = self.shift_mm
        return cos * x - sin * y + dx, sin * x + cos * y + dy, z + dz

    def to_chest(self, x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
        """Return where points of the scan lie in the chest as drawn; broadcastable x, y, z each."""
        cos, sin = math.cos(self.turn_rad), math.sin(self.turn_rad)
        dx, dy, dz = self.shift_mm
        x, y = x - dx, y - dy
        across, depth, height = (
            np.asarray(field, np.float32)
            for field in (cos * x + sin * y, BACK_Y_MM - (cos * y - sin * x), APEX_Z_MM + dz - z)
        )
        y = BACK_Y_MM - _relaxed(depth, self.breath / 2, LUNG_DEPTH_MM)
        z = APEX_Z_MM - _relaxed(height, self.breath, LUNG_HEIGHT_MM)
        return across, y, z


def _stretched(depth_mm: float, share: float, length_mm: float) -> float:
    return depth_mm if depth_mm <= 0 else depth_mm + share * depth_mm**2 / length_mm


def _relaxed(depth_mm: Field, share: float, length_mm: float) -> Field:
    """Undo `_stretched`: the root of its parabola."""
    if not share:
        return depth_mm
    inside = np.maximum(depth_mm, 0)
    # Below the turning point of a shallow breath's parabola nothing comes to lie.
    root = np.sqrt(np.maximum(1 + 4 * share * inside / length_mm, 0))
    return np.where(depth_mm <= 0, depth_mm, 2 * inside / (1 + root)).astype(np.float32)
