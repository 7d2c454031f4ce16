"""What the earlier scans say of each lesion, by its tracking UID. Compares nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from worker.follow_up.comparison import ImageReference, LesionObservation
from worker.priors.read import Prior, PriorLesion
from worker.recist.timepoints import State


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLesion:
    """One lesion as the earlier scans show it."""

    tracking_uid: str
    name: str
    history: tuple[tuple[Prior, PriorLesion], ...]
    """By date; scans that say nothing of it are left out."""

    @property
    def last(self) -> PriorLesion:
        """What the latest scan that knows of it shows."""
        return self.history[-1][1]

    @property
    def last_measured(self) -> tuple[Prior, PriorLesion] | None:
        """The latest scan that gives its sizes."""
        return next(((prior, lesion) for prior, lesion in reversed(self.history) if lesion.sizes), None)

    @property
    def last_outlined(self) -> tuple[Prior, PriorLesion] | None:
        """The latest scan that gives its outline."""
        return next(((prior, lesion) for prior, lesion in reversed(self.history) if lesion.outline), None)

    @property
    def image(self) -> ImageReference | None:
        """The CT image through its middle, of the latest scan that outlined it."""
        if self.last_outlined is None or self.last_outlined[1].image_uid is None:
            return None
        prior, lesion = self.last_outlined
        return ImageReference(
            study_uid=prior.study_uid, series_uid=prior.series_uid, sop_instance_uid=str(lesion.image_uid)
        )

    @property
    def split_from(self) -> str | None:
        """Tracking UID of the lesion that it once was a part of."""
        return next((lesion.split_from for _, lesion in self.history if lesion.split_from), None)

    @property
    def observations(self) -> tuple[LesionObservation, ...]:
        """What each earlier scan shows of it."""
        return tuple(
            LesionObservation(date=prior.date, state=lesion.state, sizes=lesion.sizes) for prior, lesion in self.history
        )


def comparable(priors: Sequence[Prior], before: date) -> tuple[Prior, ...]:
    """Return the scans of earlier days by date, one a day, back to where they know of the same lesions.

    A scan whose report names no lesion of the one before it was never compared with it: of what came before, this
    course knows nothing. Of two scans of one day the one with more lesions counts, then the later by UID.
    """
    by_date = {prior.date: prior for prior in sorted(priors, key=lambda each: (len(each.lesions), each.series_uid))}
    chain: list[Prior] = []
    for day in sorted((day for day in by_date if day < before), reverse=True):
        if chain and not _is_continued(by_date[day], chain[-1]):
            break
        chain.append(by_date[day])
    return tuple(reversed(chain))


def known_lesions(priors: Sequence[Prior]) -> dict[str, KnownLesion]:
    """Return every lesion of these scans, which are in the order of their dates."""
    histories: dict[str, list[tuple[Prior, PriorLesion]]] = {}
    for prior in priors:
        for lesion in prior.lesions:
            histories.setdefault(lesion.tracking_uid, []).append((prior, lesion))
    return {
        uid: KnownLesion(tracking_uid=uid, name=history[-1][1].tracking_id, history=tuple(history))
        for uid, history in histories.items()
    }


def is_gone(lesion: PriorLesion) -> bool:
    """Say whether a lesion was no longer seen for itself, and may return."""
    return lesion.state in (State.VANISHED, State.NOT_EVALUABLE)


def _is_continued(earlier: Prior, later: Prior) -> bool:
    uids = {lesion.tracking_uid for lesion in earlier.lesions}
    return not uids or any(lesion.tracking_uid in uids for lesion in later.lesions)
