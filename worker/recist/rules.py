"""The rules of RECIST 1.1 for one time point: its response, and the reason. Adds up nothing.

Source: Eisenhauer et al., Eur J Cancer 2009;45:228; clarifications: recist.eortc.org.

* By the targets (4.3.1): PD at +20 % and +5 mm from the smallest sum so far, the baseline's included; CR at 0; PR at
  -30 % from the baseline; else SD. PD comes first: it is judged from the nadir, whatever was gained since the baseline.
* A target that is not evaluable makes the time point NE, unless the others alone make it PD (4.4.2).
* Non-target lesions (4.3.3, table 1) are present, absent or not evaluated: CR needs them absent. Their unequivocal
  progression is a reader's judgement of the whole burden, and is never proposed.
* A new lesion makes PD (4.3.5).
* After CR, the return of any lesion is PD; else a lesion that returns only adds to the sum (appendix III; EORTC: "Does
  a new lesion always result in PD?").
* PR that was confirmed, four weeks or more after its first, lasts until progression (4.6; EORTC: "Managing PR when TP
  measurements change slightly over time").
* Without a target, but with other lesions: table 2. Without any lesion at baseline, NE until a new one comes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from worker.recist.response import Response

CONFIRMED_AFTER_DAYS = 28
RESPONDING = (Response.CR, Response.PR)
LEAST_INCREASE_MM = 5.0


class NonTargets(StrEnum):
    """What became of the non-target lesions together."""

    NONE = "none"
    ABSENT = "all absent"
    PRESENT = "present"
    NOT_EVALUATED = "not all evaluated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """The sums of diameters that the targets are judged by."""

    now_mm: float
    """Of the targets that could be measured."""
    is_complete: bool
    baseline_mm: float
    nadir_mm: float
    """The smallest before, the baseline's included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that a time point is judged by."""

    by_targets: Response | None
    """None where the baseline has no target."""
    non_targets: NonTargets
    has_new: bool
    is_any_known_seen: bool
    """A lesion of the baseline is seen."""
    earlier: Sequence[tuple[date, Response]]
    """What was proposed at the time points before, by date."""


def by_targets(sums: Sums) -> Response:
    """Judge the targets. What could be measured is the least that the sum can be: PD needs no more.

    In tenths of a millimetre, which are whole numbers: -30 % of 72.0 mm is just 50.4 mm.
    """
    now, baseline, nadir = (round(10 * each) for each in (sums.now_mm, sums.baseline_mm, sums.nadir_mm))
    if 10 * now >= 12 * nadir and now - nadir >= 10 * LEAST_INCREASE_MM:
        return Response.PD
    if not sums.is_complete:
        return Response.NE
    if not now:
        return Response.CR
    return Response.PR if 10 * now <= 7 * baseline else Response.SD


def overall(evidence: Evidence) -> tuple[Response, str]:
    """Return the response of all lesions together, and what decided it."""
    if evidence.has_new:
        return Response.PD, "new lesion, if it is unequivocal"
    if evidence.is_any_known_seen and any(response is Response.CR for _, response in evidence.earlier):
        return Response.PD, "a lesion returned after a complete response"
    if evidence.by_targets is None:
        return _without_targets(evidence.non_targets)
    return _with_targets(evidence, evidence.by_targets)


def _with_targets(evidence: Evidence, by_targets: Response) -> tuple[Response, str]:
    is_rid_of_others = evidence.non_targets in (NonTargets.NONE, NonTargets.ABSENT)
    if by_targets is Response.CR and not is_rid_of_others:
        return Response.PR, f"targets CR, non-target lesions {evidence.non_targets}"
    confirmed_on = _confirmed_on(evidence.earlier)
    if by_targets is Response.SD and confirmed_on:
        return Response.PR, f"targets SD, but a response confirmed on {confirmed_on} lasts until progression"
    return by_targets, "all lesions"


def _without_targets(non_targets: NonTargets) -> tuple[Response, str]:
    if non_targets is NonTargets.NONE:
        return Response.NE, "no lesion at baseline"
    responses = {NonTargets.ABSENT: Response.CR, NonTargets.PRESENT: Response.NON_CR_NON_PD}
    return responses.get(non_targets, Response.NE), f"no target, non-target lesions {non_targets}"


def _confirmed_on(earlier: Sequence[tuple[date, Response]]) -> date | None:
    """Return when a response that lasted until now was confirmed; time points that are NE do not end it."""
    since: date | None = None
    confirmed: date | None = None
    for day, response in earlier:
        if response in RESPONDING:
            since = since or day
            confirmed = confirmed or (day if (day - since).days >= CONFIRMED_AFTER_DAYS else None)
        elif response is not Response.NE:
            since = confirmed = None
    return confirmed
