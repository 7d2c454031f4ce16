"""RECIST 1.1 rules for the response at one time point.

Source: Eisenhauer et al., Eur J Cancer 2009;45:228; clarifications: recist.eortc.org.

* Target lesions (4.3.1): PD at +20 % and +5 mm from the nadir, the smallest sum so far including the baseline; CR at 0;
  PR at -30 % from the baseline; else SD. PD is tested first, since it depends on the nadir only.
* A target that is not evaluable gives NE, unless the other targets alone give PD (4.4.2).
* Non-target lesions (4.3.3, table 1) are present, absent or not evaluated: CR requires them to be absent. Their
  unequivocal progression is a reader's judgement of the whole burden, and is never proposed.
* A new lesion gives PD (4.3.5).
* After CR, the return of any lesion is PD; otherwise a returning lesion only adds to the sum (appendix III; EORTC:
  "Does a new lesion always result in PD?").
* A PR confirmed four weeks or more after its first date lasts until progression (4.6; EORTC: "Managing PR when TP
  measurements change slightly over time").
* Without a target, but with other lesions: table 2. Without any lesion at baseline: NE until a new lesion appears.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from worker.recist.basis import BasisLine, DatedLine
from worker.recist.response import Response

CONFIRMED_AFTER_DAYS = 28
RESPONDING = (Response.CR, Response.PR)
LEAST_INCREASE_MM = 5.0


class NonTargets(StrEnum):
    """Status of all non-target lesions together."""

    NONE = "none"
    ABSENT = "all absent"
    PRESENT = "present"
    NOT_EVALUATED = "not all evaluated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Sums of diameters that determine the target response."""

    now_mm: float
    """Of the targets that could be measured."""
    is_complete: bool
    baseline_mm: float
    nadir_mm: float
    """Smallest previous sum, including the baseline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Findings that determine the overall response at a time point."""

    by_targets: Response | None
    """None if the baseline has no target."""
    non_targets: NonTargets
    has_new: bool
    is_any_known_seen: bool
    """True if a lesion of the baseline is seen."""
    previous: Sequence[tuple[date, Response]]
    """Responses at the previous time points, by date."""


def by_targets(sums: Sums) -> Response:
    """Return the response of the targets. An incomplete sum is a lower bound, which is sufficient for PD.

    Computed in tenths of a millimetre as integers: -30 % of 72.0 mm is exactly 50.4 mm.
    """
    now, baseline, nadir = (round(10 * each) for each in (sums.now_mm, sums.baseline_mm, sums.nadir_mm))
    if 10 * now >= 12 * nadir and now - nadir >= 10 * LEAST_INCREASE_MM:
        return Response.PD
    if not sums.is_complete:
        return Response.NE
    if not now:
        return Response.CR
    return Response.PR if 10 * now <= 7 * baseline else Response.SD


def overall(evidence: Evidence) -> tuple[Response, BasisLine]:
    """Return the overall response, and the reason with it."""
    response, reason = _overall(evidence)
    if isinstance(reason, DatedLine):
        return response, replace(reason, text=f"{reason.text}: {response}")
    return response, f"{reason}: {response}"


def _overall(evidence: Evidence) -> tuple[Response, BasisLine]:
    if evidence.has_new:
        return Response.PD, "new lesion, if it is unequivocal"
    if evidence.is_any_known_seen and any(response is Response.CR for _, response in evidence.previous):
        return Response.PD, "a lesion returned after a complete response"
    if evidence.by_targets is None:
        return _without_targets(evidence.non_targets)
    return _with_targets(evidence, evidence.by_targets)


def _with_targets(evidence: Evidence, by_targets: Response) -> tuple[Response, BasisLine]:
    are_non_targets_absent = evidence.non_targets in (NonTargets.NONE, NonTargets.ABSENT)
    if by_targets is Response.CR and not are_non_targets_absent:
        return Response.PR, f"targets CR, non-target lesions {evidence.non_targets}"
    confirmed_on = _confirmed_on(evidence.previous)
    if by_targets is Response.SD and confirmed_on:
        text = "targets SD, but a response confirmed on {date} lasts until progression"
        return Response.PR, DatedLine(text=text, on=confirmed_on)
    return by_targets, "all lesions"


def _without_targets(non_targets: NonTargets) -> tuple[Response, str]:
    if non_targets is NonTargets.NONE:
        return Response.NE, "no lesion at baseline"
    responses = {NonTargets.ABSENT: Response.CR, NonTargets.PRESENT: Response.NON_CR_NON_PD}
    return responses.get(non_targets, Response.NE), f"no target, non-target lesions {non_targets}"


def _confirmed_on(previous: Sequence[tuple[date, Response]]) -> date | None:
    """Return the date on which the current response was confirmed, None if it was not; NE does not end a response."""
    since: date | None = None
    confirmed: date | None = None
    for day, response in previous:
        if response in RESPONDING:
            since = since or day
            confirmed = confirmed or (day if (day - since).days >= CONFIRMED_AFTER_DAYS else None)
        elif response is not Response.NE:
            since = confirmed = None
    return confirmed
