"""Pose and breath of a patient in one scan, as an analytic map between the reference chest and the scan.

A deeper breath moves the base of the lungs towards the feet and the sternum to the front; apex and back stay in place:
with h the distance below the apex, h' = h + breath h^2 / L, and likewise, with half the breath, to the front. Then the
chest is rotated about its long axis and shifted. Coordinates are LPS millimetres.
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
class PatientPose:
    """Pose and breath of a patient in one scan."""

    breath: float = 0.0
    """Relative increase of the lungs' height over the reference chest; -0.2 to 0.2."""
    turn_deg: float = 0.0
    """Rotation about the long axis, towards the patient's left side."""
    shift_mm: Point = (0.0, 0.0, 0.0)
    noise_seed: int = 0
    """Seed of the scan's noise; the chest has its own seed."""

    @property
    def turn_rad(self) -> float:
        """The rotation in radians, as in PhantomLesion."""
        return math.radians(self.turn_deg)

    def to_scan(self, point_mm: Point) -> Point:
        """Map a point of the reference chest into the scan."""
        x, y, z = point_mm
        y = BACK_Y_MM - _stretched(BACK_Y_MM - y, self.breath / 2, LUNG_DEPTH_MM)
        z = APEX_Z_MM - _stretched(APEX_Z_MM - z, self.breath, LUNG_HEIGHT_MM)
        cos, sin = math.cos(self.turn_rad), math.sin(self.turn_rad)
        dx, dy, dz = self.shift_mm
        return cos * x - sin * y + dx, sin * x + cos * y + dy, z + dz

    def to_chest(self, x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
        """Map points of the scan into the reference chest. x, y, z: broadcastable arrays, as are the results."""
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


def _stretched(depth_mm: float, breath: float, length_mm: float) -> float:
    return depth_mm if depth_mm <= 0 else depth_mm + breath * depth_mm**2 / length_mm


def _relaxed(depth_mm: Field, breath: float, length_mm: float) -> Field:
    """Invert `_stretched`: solve its quadratic equation."""
    if not breath:
        return depth_mm
    inside = np.maximum(depth_mm, 0)
    # With a negative breath, no point is mapped beyond the vertex of the parabola.
    root = np.sqrt(np.maximum(1 + 4 * breath * inside / length_mm, 0))
    return np.where(depth_mm <= 0, depth_mm, 2 * inside / (1 + root)).astype(np.float32)
