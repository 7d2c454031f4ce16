"""Scans of one phantom patient at several dates, and the position of a lesion in each scan."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from worker.phantom.canvas import Point
from worker.phantom.chest import PhantomLesion, PhantomSpec, chest_phantom
from worker.phantom.dicom import with_reversed_axes, write_series
from worker.phantom.patient_pose import PatientPose


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One scan of the patient."""

    name: str
    when: datetime
    spec: PhantomSpec
    """Its lesions are in the coordinates of the scan."""
    flipped: tuple[int, ...] = ()
    """Axes (0 slice, 1 row, 2 column) that are stored in reverse order."""


def placed(pose: PatientPose, anchor_mm: Point, *ellipsoids: PhantomLesion) -> tuple[PhantomLesion, ...]:
    """Return ellipsoids in the coordinates of the scan: rigid bodies whose anchor moves with the chest.

    anchor_mm: a point of the reference chest. bodies: ellipsoids with centres relative to the anchor.
    """
    x, y, z = pose.to_scan(anchor_mm)
    cos, sin = math.cos(pose.turn_rad), math.sin(pose.turn_rad)
    return tuple(
        replace(
            ellipsoid,
            centre_mm=(x + cos * u - sin * v, y + sin * u + cos * v, z + w),
            turn_rad=ellipsoid.turn_rad + pose.turn_rad,
        )
        for ellipsoid in ellipsoids
        for u, v, w in (ellipsoid.centre_mm,)
    )


def write_visit(folder: Path, visit: Visit) -> list[Path]:
    """Generate the scan and write it as a CT series."""
    phantom = with_reversed_axes(chest_phantom(visit.spec), *visit.flipped)
    return write_series(folder, phantom, visit.name, visit.when)
