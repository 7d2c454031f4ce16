"""One phantom patient at several dates: where each lesion comes to lie in each scan. Knows no lesion of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from worker.phantom.canvas import Point
from worker.phantom.chest import PhantomLesion, PhantomSpec, chest_phantom
from worker.phantom.dicom import stored_otherwise, write_series
from worker.phantom.patient_pose import Posture


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One scan of the patient."""

    name: str
    when: datetime
    spec: PhantomSpec
    """Its lesions as they lie in the scan."""
    flipped: tuple[int, ...] = ()
    """Axes of storage (0 slice, 1 row, 2 column) that run the other way."""


def placed(posture: Posture, anchor_mm: Point, *bodies: PhantomLesion) -> tuple[PhantomLesion, ...]:
    """Return ellipsoids as they lie in the scan: the anchor moves with the chest, they keep their size and distance.

    bodies: their centres relative to the anchor.
    """
    x, y, z = posture.to_scan(anchor_mm)
    cos, sin = math.cos(posture.turn_rad), math.sin(posture.turn_rad)
    return tuple(
        replace(
            body,
            centre_mm=(x + cos * u - sin * v, y + sin * u + cos * v, z + w),
            turn_rad=body.turn_rad + posture.turn_rad,
        )
        for body in bodies
        for u, v, w in (body.centre_mm,)
    )


def write_visit(folder: Path, visit: Visit) -> list[Path]:
    """Generate the scan and write it as a CT series."""
    phantom = stored_otherwise(chest_phantom(visit.spec), *visit.flipped)
    return write_series(folder, phantom, visit.name, visit.when)
