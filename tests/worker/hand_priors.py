"""Earlier scans as a test needs them: what they show of each lesion by a letter; everything else is of no meaning."""

from __future__ import annotations

import numpy as np

from models.volume import Mask
from tests.worker.hand_courses import day
from worker.comparison import Origin
from worker.priors import Prior, PriorLesion
from worker.tracked import State
from worker.uncertainty import Sizes

Mm3 = tuple[float, float, float]


def sizes(volume_ml: float, long_axis_mm: float = 10.0) -> Sizes:
    return Sizes(
        volume_ml=volume_ml, long_axis_mm=long_axis_mm, short_axis_mm=long_axis_mm, slices=8, spacing_mm=(1.0, 1.0, 1.0)
    )


def cube(corner_mm: Mm3, side_mm: int) -> Mask:
    """A cube of voxels of 1 mm, axes (slice, row, column), its first voxel's centre at `corner_mm` (x, y, z)."""
    affine = np.zeros((4, 4))
    affine[2, 0] = affine[1, 1] = affine[0, 2] = affine[3, 3] = 1
    affine[:3, 3] = corner_mm
    return Mask(voxels=np.ones((side_mm, side_mm, side_mm), bool), affine=affine)


def present(uid: str, corner_mm: Mm3 = (0, 0, 0), side_mm: int = 10, name: str = "") -> PriorLesion:
    return PriorLesion(
        tracking_uid=uid, tracking_id=name or f"lesion-{uid}", state=State.PRESENT, merged_into=None, split_from=None,
        outline=cube(corner_mm, side_mm), sizes=sizes(side_mm**3 / 1000, float(side_mm)), mass_g=None,
    )  # fmt: skip


def absent(uid: str, state: State, merged_into: str | None = None) -> PriorLesion:
    return PriorLesion(
        tracking_uid=uid, tracking_id=f"lesion-{uid}", state=state, merged_into=merged_into, split_from=None,
        outline=None, sizes=None, mass_g=None,
    )  # fmt: skip


def prior(days: int, *lesions: PriorLesion, series_uid: str = "", frame_uid: str = "2.25.9") -> Prior:
    return Prior(
        date=day(days), study_uid=f"2.25.1{days}", series_uid=series_uid or f"2.25.2{days}",
        frame_of_reference_uid=frame_uid, slice_mm=1.0, lesions=lesions, lungs=None, kernel="B30f", has_contrast=False,
        origin=Origin.OURS, report=None,
    )  # fmt: skip
