"""Texts of lesions over time on the timeline pages."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from worker.follow_up.change import Change
from worker.follow_up.comparison import Comparison, LesionObservation, LesionTimeline
from worker.follow_up.growth import DoublingTime
from worker.follow_up.matching import Event
from worker.lesions.uncertainty import Sizes
from worker.outputs.days import Days
from worker.outputs.page.wording import DASH, TIMES
from worker.recist.timepoints import State

MINUS = "\N{MINUS SIGN}"
STATE_TEXTS = {
    State.TOO_SMALL: "too small",
    State.VANISHED: "vanished",
    State.NOT_EVALUABLE: "not evaluable",
    State.DOUBTFUL: "in doubt",
}


def signed(value: float, decimals: int = 0) -> str:
    """Return a number with its sign, a typographic minus for negative ones, and no sign for 0."""
    text = f"{value:+.{decimals}f}"
    return text.replace("-", MINUS) if float(text) else text[1:]


def name_of(tracking_uid: str, comparison: Comparison) -> str:
    """Return the name of a lesion, or "a lesion" if it is unknown or empty."""
    names = {lesion.tracking_uid: lesion.name for lesion in comparison.lesions}
    return names.get(tracking_uid) or "a lesion"


def event_text(lesion: LesionTimeline, comparison: Comparison) -> str:
    """Return the event of a lesion since the previous scan, or its state if it has no event."""
    if lesion.possible_match:
        return f"new, may be {name_of(lesion.possible_match, comparison)}"
    if lesion.merged_into:
        return f"merged into {name_of(lesion.merged_into, comparison)}"
    if lesion.split_from and lesion.event is Event.SPLIT:
        return f"split from {name_of(lesion.split_from, comparison)}"
    if lesion.event is Event.SAME:
        return _size_text(lesion.change)
    if lesion.event is None:
        return STATE_TEXTS.get(lesion.now.state, "")
    return EVENT_TEXTS[lesion.event]


EVENT_TEXTS = {
    Event.NEW: "new",
    Event.VANISHED: "vanished",
    Event.MERGED: "holds a merged one",
    Event.SPLIT: "split",
    Event.RETURNED: "returned",
}


def _size_text(change: Change | None) -> str:
    """By the volume, or by the long axis if the volume change is within repeatability."""
    if change is None:
        return ""
    for difference in (change.volume_ml, change.long_axis_mm):
        if difference.is_beyond_chance:
            return "larger" if difference.absolute > 0 else "smaller"
    return "within chance"


def lesion_lines(lesion: LesionTimeline, days: Days) -> Iterator[str]:
    """Yield lines with the size and the change of a lesion."""
    sizes, change = lesion.now.sizes, lesion.change
    if sizes is None:
        yield from _last_measured(lesion, days)
        return
    if change is None:
        yield f"{sizes.volume_ml:.2f} ml, {_axes(sizes)}"
        return
    yield f"{change.volume_ml.prior:.2f} \N{RIGHTWARDS ARROW} {sizes.volume_ml:.2f} ml, {_axes(sizes)}"
    limits = change.repeatability.volume_percent
    percent = "" if change.volume_ml.percent is None else f"{signed(change.volume_ml.percent)} % "
    chance = f"chance {signed(limits.low)} to {signed(limits.high)} %"
    yield f"{percent}in {change.interval_days} days ({chance})"
    if change.growth:
        yield doubling_text(change.growth.doubling_time)
    if met := [each.guideline.title.split()[0] for each in change.statements if each.is_met]:
        yield f"grown by {', '.join(met)}"


def doubling_text(doubling: DoublingTime) -> str:
    """Return a doubling time with its 95 % interval, shorter than `DoublingTime.text`."""
    fastest, slowest = doubling.fastest_days, doubling.slowest_days
    if doubling.days is None:
        return f"unchanged (at the fastest doubles in {_days(fastest)}, halves in {_days(slowest)} days)"
    verb, (shortest, longest) = ("doubles", (fastest, slowest)) if doubling.days > 0 else ("halves", (slowest, fastest))
    is_bounded = longest is not None and longest * doubling.days > 0
    end = _days(longest) if is_bounded else "never"
    return f"{verb} in {_days(doubling.days)} days (95 %: {_days(shortest)} to {end})"


def _days(days: float | None) -> str:
    return "no" if days is None else f"{abs(days):.0f}"


def _last_measured(lesion: LesionTimeline, days: Days) -> Iterator[str]:
    for observation in reversed(lesion.observations):
        if observation.sizes:
            volume = f"{observation.sizes.volume_ml:.2f} ml, {_axes(observation.sizes)}"
            yield f"last measured on day {days.of(observation.date)}: {volume}"
            return


def _axes(sizes: Sizes) -> str:
    return f"{sizes.long_axis_mm:.1f} {TIMES} {sizes.short_axis_mm:.1f} mm"


def strip_labels(lesion: LesionTimeline, comparison: Comparison, days: Days) -> Iterator[tuple[int, str]]:
    """Yield the state, merge and split labels of a lesion with their days; a state that lasts is yielded once."""
    before: State | None = None
    for observation in lesion.observations:
        day = days.of(observation.date)
        if observation.state is not before:
            text = _state_text(observation.state, lesion, comparison)
            is_back = observation.state is State.PRESENT and before is State.VANISHED
            yield from [(day, text)] if text else [(day, "returned")] if is_back else []
        before = observation.state
    first = lesion.observations[0]
    if first.state is State.PRESENT and days.of(first.date) > 0:
        yield days.of(first.date), _appearance_text(lesion, comparison)
    for other, since, is_part in _merges_and_splits(lesion, comparison):
        yield days.of(since), f"{'without' if is_part else 'with'} {other.name}"


def is_comparable(
    lesion: LesionTimeline, pair: tuple[LesionObservation, LesionObservation], comparison: Comparison
) -> bool:
    """Return whether two volumes of a lesion are comparable: no merge and no split of it between the two."""
    prior, later = pair
    return not any(prior.date < day <= later.date for _, day, _ in _merges_and_splits(lesion, comparison))


def _merges_and_splits(lesion: LesionTimeline, comparison: Comparison) -> Iterator[tuple[LesionTimeline, date, bool]]:
    """Yield each lesion that merged into this one or split from it, with the date; True for a split."""
    for other in comparison.lesions:
        merged = [observation.date for observation in other.observations if observation.state is State.MERGED]
        if merged and other.merged_into == lesion.tracking_uid:
            yield other, min(merged), False
        if other.split_from == lesion.tracking_uid:
            yield other, other.observations[0].date, True


def _appearance_text(lesion: LesionTimeline, comparison: Comparison) -> str:
    """A lesion that RECIST does not count as new may be a doubtful one, or a part of an unknown lesion."""
    if lesion.split_from:
        return "split off"
    assessments = comparison.recist.assessments if comparison.recist else ()
    is_new = any(lesion.tracking_uid in each.new_lesions for each in assessments)
    return "new" if is_new else "first seen"


def _state_text(state: State, lesion: LesionTimeline, comparison: Comparison) -> str:
    if state is State.MERGED:
        return f"in {name_of(lesion.merged_into, comparison)}" if lesion.merged_into else "merged"
    return STATE_TEXTS.get(state, "")


def scans_text(comparison: Comparison) -> str:
    """Return the number of scans and their range of days."""
    last = (comparison.scans[-1].date - comparison.scans[0].date).days
    return f"{len(comparison.scans)} scans, day 0{DASH}{last}"
