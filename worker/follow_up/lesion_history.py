"""History of each lesion in the prior scans, by its tracking UID."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import count

from worker.follow_up.comparison import ImageReference, LesionObservation
from worker.follow_up.prior import Prior, PriorLesion
from worker.lesions.lesion import number_in
from worker.recist.timepoints import State


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownLesion:
    """One lesion with its history in the prior scans."""

    tracking_uid: str
    number: int
    """For life. A lesion that a reader added has none in its documents, and gets the next one."""
    history: tuple[tuple[Prior, PriorLesion], ...]
    """By date; only scans that list the lesion."""

    @property
    def last(self) -> PriorLesion:
        """The lesion in the latest scan that lists it."""
        return self.history[-1][1]

    @property
    def last_measured(self) -> tuple[Prior, PriorLesion] | None:
        """The latest scan with its sizes."""
        return next(((prior, lesion) for prior, lesion in reversed(self.history) if lesion.sizes), None)

    @property
    def last_outlined(self) -> tuple[Prior, PriorLesion] | None:
        """The latest scan with its outline."""
        return next(((prior, lesion) for prior, lesion in reversed(self.history) if lesion.outline), None)

    @property
    def image(self) -> ImageReference | None:
        """The CT image through its centre in the latest scan with its outline; None if that CT is not available."""
        if self.last_outlined is None:
            return None
        prior, lesion = self.last_outlined
        if lesion.image is None:
            return None
        return ImageReference(study_uid=prior.study_uid, series_uid=prior.series_uid, frame=lesion.image)

    @property
    def split_from(self) -> str | None:
        """Tracking UID of the lesion that it split from."""
        return next((lesion.split_from for _, lesion in self.history if lesion.split_from), None)

    @property
    def observations(self) -> tuple[LesionObservation, ...]:
        """Its observation in each prior scan that lists it."""
        return tuple(
            LesionObservation(date=prior.date, state=lesion.state, sizes=lesion.sizes) for prior, lesion in self.history
        )


def comparable(priors: Sequence[Prior], before: date) -> tuple[Prior, ...]:
    """Return the prior scans dated before `before`, sorted by date, one per day, as far back as they were compared.

    A scan that lists no lesion of the scan before it was never compared with it, so older scans are left out. Of two
    scans of one day the one with more lesions is used, of equal counts the one with the higher series UID.
    """
    by_date = {prior.date: prior for prior in sorted(priors, key=lambda each: (len(each.lesions), each.series_uid))}
    chain: list[Prior] = []
    for day in sorted((day for day in by_date if day < before), reverse=True):
        if chain and not _is_continued(by_date[day], chain[-1]):
            break
        chain.append(by_date[day])
    return tuple(reversed(chain))


def known_lesions(priors: Sequence[Prior]) -> dict[str, KnownLesion]:
    """Return every lesion of these scans by tracking UID; `priors` are sorted by date."""
    histories: dict[str, list[tuple[Prior, PriorLesion]]] = {}
    for prior in priors:
        for lesion in prior.lesions:
            histories.setdefault(lesion.tracking_uid, []).append((prior, lesion))
    numbers = _numbers({uid: history[-1][1].tracking_id for uid, history in histories.items()})
    return {
        uid: KnownLesion(tracking_uid=uid, number=numbers[uid], history=tuple(history))
        for uid, history in histories.items()
    }


def _numbers(names: Mapping[str, str]) -> dict[str, int]:
    """Return a number for each lesion: that of its name, or the next one if it has none or another has it already."""
    numbers: dict[str, int] = {}
    for uid, name in names.items():
        number = number_in(name)
        if number is not None and number not in numbers.values():
            numbers[uid] = number
    following = count(max(numbers.values(), default=0) + 1)
    return {uid: numbers[uid] if uid in numbers else next(following) for uid in names}


def may_return(lesion: PriorLesion) -> bool:
    """Return whether a lesion was not seen in this scan and may return."""
    return lesion.state in (State.VANISHED, State.NOT_EVALUABLE)


def _is_continued(prior: Prior, later: Prior) -> bool:
    uids = {lesion.tracking_uid for lesion in prior.lesions}
    return not uids or any(lesion.tracking_uid in uids for lesion in later.lesions)
