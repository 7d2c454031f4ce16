"""Findings as a test needs them, each with what its rule looks at; everything else is of no meaning."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from models.lungs.lungs import Lobe
from worker.anatomy import Place
from worker.axes import Axis
from worker.density import Consistency, Density
from worker.findings import Finding
from worker.lesions import Lesion
from worker.measurements import Measurement

Mm3 = tuple[float, float, float]


def finding(
    number: int,
    long_axis_mm: float = 10.0,
    place: Place | None = None,
    density: Density | None = None,
    volume_ml: float = 1.0,
    centre_mm: Mm3 = (0.0, 0.0, 0.0),
) -> Finding:
    return Finding(
        lesion=Lesion(
            number=number, tracking_id=f"lesion-{number}", tracking_uid=f"2.25.{number}",
            voxels=np.ones((1, 1, 1), bool), corner=(0, 0, 0), centroid_mm=centre_mm,
        ),
        measurement=Measurement(
            volume_ml=volume_ml, long_axis=axis(long_axis_mm), short_axis=axis(long_axis_mm), mean_hu=0.0, sd_hu=0.0,
            density=density,
        ),
        place=place,
    )  # fmt: skip


def axis(length_mm: float) -> Axis:
    return Axis(
        slice_index=0, start_px=(0.0, 0.0), end_px=(length_mm, 0.0), start_mm=(0.0, 0.0, 0.0),
        end_mm=(length_mm, 0.0, 0.0), length_mm=length_mm,
    )  # fmt: skip


def density(consistency: Consistency, solid_long_axis_mm: float = 0.0) -> Density:
    values: dict[str, Any] = dict.fromkeys((field.name for field in fields(Density)), 0.0)
    return Density(**{**values, "consistency": consistency, "solid_long_axis_mm": solid_long_axis_mm})


SOLID = density(Consistency.SOLID)
GROUND_GLASS = density(Consistency.GROUND_GLASS)


def part_solid(solid_long_axis_mm: float) -> Density:
    return density(Consistency.PART_SOLID, solid_long_axis_mm)


def in_lobe(lobe: Lobe, *, sure: bool = True, touches_wall: bool = False, touches_mediastinum: bool = False) -> Place:
    return Place(
        lobe=lobe, fissure_mm=25.0 if sure else 3.0, is_lobe_sure=sure,
        wall_mm=0.0 if touches_wall else 15.0, mediastinum_mm=0.0 if touches_mediastinum else 30.0,
        touches_wall=touches_wall, touches_mediastinum=touches_mediastinum, carina_mm=None,
    )  # fmt: skip
