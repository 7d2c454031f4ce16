"""How much tumour one scan of a course shows in all. Judges no response, and measures nothing.

The sum of the volumes of the lesions that the course knows. A merged lesion counts within the one that holds it, one
that vanished as 0; where a lesion was not or could not be measured, the sum is the least that there is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from worker.follow_up.comparison import Comparison, LesionObservation
from worker.recist.timepoints import State

NO_VOLUME = (State.VANISHED, State.MERGED)
"""What adds nothing to the sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalBurden:
    """All lesions of one scan together."""

    volume_ml: float
    is_complete: bool
    """Every lesion was measured, or is gone, or lies within another."""


def burden_at(comparison: Comparison, day: date) -> TotalBurden:
    """Return the burden that the scan of a day shows."""
    seen = [
        observation for lesion in comparison.lesions for observation in lesion.observations if observation.date == day
    ]
    return TotalBurden(
        volume_ml=sum(observation.sizes.volume_ml for observation in seen if observation.sizes),
        is_complete=not any(map(_is_missing, seen)),
    )


def _is_missing(observation: LesionObservation) -> bool:
    return observation.sizes is None and observation.state not in NO_VOLUME
