"""Total tumour burden of one scan of a comparison.

The burden is the sum of the volumes of all lesions of the comparison. A merged lesion counts within the lesion that
contains it, a vanished lesion as 0; if a lesion was not measured, the sum is a lower bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from worker.follow_up.comparison import Comparison, LesionObservation
from worker.recist.timepoints import State

NO_VOLUME = (State.VANISHED, State.MERGED)
"""States without a volume of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalBurden:
    """Total volume of all lesions of one scan."""

    volume_ml: float
    is_complete: bool
    """True if every lesion was measured, has vanished or merged; otherwise `volume_ml` is a lower bound."""


def burden_at(comparison: Comparison, day: date) -> TotalBurden:
    """Return the tumour burden of the scan with this date."""
    observations = [
        observation for lesion in comparison.lesions for observation in lesion.observations if observation.date == day
    ]
    return TotalBurden(
        volume_ml=sum(observation.sizes.volume_ml for observation in observations if observation.sizes),
        is_complete=not any(map(_is_missing, observations)),
    )


def _is_missing(observation: LesionObservation) -> bool:
    return observation.sizes is None and observation.state not in NO_VOLUME
