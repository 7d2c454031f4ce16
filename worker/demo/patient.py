"""The demo's patient: the specification of two phantom scans of one chest, 91 days apart, with known lesions.

One lesion grows, its volume doubling in 120 days; one shrinks, one is stable, one is new. On the second scan the
patient breathes in more deeply and lies in another pose, and the slices are thicker.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.phantom.canvas import Point
from worker.phantom.chest import DEMO_LESIONS, PhantomLesion, PhantomSpec
from worker.phantom.patient_pose import PatientPose
from worker.phantom.visit import Visit, placed

BASELINE, INTERVAL_DAYS = datetime(2026, 2, 2, 9, 30), 91
DOUBLING_DAYS = 120.0
GROWTH = 2 ** (INTERVAL_DAYS / DOUBLING_DAYS / 3)
"""Factor of each half axis of the growing lesion."""
BASELINE_POSE = PatientPose(noise_seed=1)
FOLLOW_UP_POSE = PatientPose(breath=0.05, turn_deg=3.0, shift_mm=(4.0, -3.0, 8.0), noise_seed=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueTimeline:
    """One lesion on both scans, in the coordinates of each scan; None if it is absent there."""

    name: str
    before: PhantomLesion | None
    after: PhantomLesion | None

    @property
    def doubling_days(self) -> float | None:
        """Doubling time of the volume; negative (halving) if it shrinks; None if it is stable or on one scan only."""
        if self.before is None or self.after is None or self.before.volume_ml == self.after.volume_ml:
            return None
        return INTERVAL_DAYS * math.log(2) / math.log(self.after.volume_ml / self.before.volume_ml)


def _later(anchor_mm: Point, half_axes_mm: Point, turn_rad: float = 0.0) -> PhantomLesion:
    (lesion,) = placed(
        FOLLOW_UP_POSE,
        anchor_mm,
        PhantomLesion(centre_mm=(0.0, 0.0, 0.0), half_axes_mm=half_axes_mm, turn_rad=turn_rad),
    )
    return lesion


def _same_place(lesion: PhantomLesion, half_axes_mm: Point) -> PhantomLesion:
    return _later(lesion.centre_mm, half_axes_mm, lesion.turn_rad)


_SHRINKS, _STAYS, _GROWS = DEMO_LESIONS
_GROWN_MM = _GROWS.half_axes_mm[0] * GROWTH
TRUE_TIMELINES = (
    TrueTimeline(name="shrinks", before=_SHRINKS, after=_same_place(_SHRINKS, (13.5, 11.5, 12.0))),
    TrueTimeline(name="stays", before=_STAYS, after=_same_place(_STAYS, _STAYS.half_axes_mm)),
    TrueTimeline(name="grows", before=_GROWS, after=_same_place(_GROWS, (_GROWN_MM, _GROWN_MM, _GROWN_MM))),
    TrueTimeline(name="new", before=None, after=_later((90.0, -52.0, -28.0), (9.0, 9.0, 9.0))),
)
VISITS = (
    # Both scans cover the whole lungs, so that they can be registered.
    Visit(name="baseline", when=BASELINE, spec=PhantomSpec(shape=(114, 384, 384), pose=BASELINE_POSE)),
    Visit(
        name="follow-up",
        when=BASELINE + timedelta(days=INTERVAL_DAYS),
        spec=PhantomSpec(
            spacing_mm=(3.0, 0.85, 0.85),
            shape=(100, 400, 420),
            lesions=tuple(timeline.after for timeline in TRUE_TIMELINES if timeline.after),
            pose=FOLLOW_UP_POSE,
        ),
    ),
)
