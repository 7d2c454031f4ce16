"""Comparison of the current scan with the patient's prior scans: identity and change of lesions, RECIST response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from dicom_node.prior import PriorSearch
from worker.findings import Finding, Findings
from worker.follow_up.acquisition import Acquisition
from worker.follow_up.change import Change, Observation, change_of
from worker.follow_up.comparison import (
    Comparison,
    ComparisonStatus,
    LesionObservation,
    LesionTimeline,
    Origin,
    TimelineScan,
)
from worker.follow_up.lesion_history import KnownLesion, comparable, known_lesions
from worker.follow_up.matching import Event
from worker.follow_up.prior import CollectedPriors, Prior
from worker.follow_up.scan_match import identify
from worker.follow_up.timepoints import current_time_point, prior_time_point
from worker.follow_up.tracking import Absence, LesionIdentity, absences, identities
from worker.recist.assessment import assess_timeline
from worker.registration.register import Method
from worker.staging.extent import extent_of

WITHOUT_COMPARISON = {
    PriorSearch.FOUND: ComparisonStatus.NOT_COMPARABLE,
    PriorSearch.NONE_EXISTS: ComparisonStatus.NO_PRIOR,
    PriorSearch.NOT_FETCHED: ComparisonStatus.NOT_FETCHED,
    PriorSearch.NOT_QUERIED: ComparisonStatus.NOT_QUERIED,
}
"""ComparisonStatus for each result of the prior search if there is no comparable prior scan."""
ONE_TO_ONE = (Event.SAME, Event.RETURNED)
"""Events with a change: the sizes of merged or split lesions on two scans are not those of one lesion."""

Known = Mapping[str, KnownLesion]


def compare(findings: Findings, acquisition: Acquisition, collected: CollectedPriors) -> Comparison:
    """Return the comparison of the findings with the priors; its lesions begin with those of the findings, in order.

    A lesion that certainly is a known one has the known tracking UID and number there (`with_known_identities`).
    """
    if acquisition.date is None:
        return _without_comparison(ComparisonStatus.NOT_COMPARABLE, "the current scan has no study date")
    priors = comparable(collected.priors, acquisition.date)
    if not priors:
        reason = collected.reason or ("no prior scan has an earlier date" if collected.priors else None)
        return _without_comparison(WITHOUT_COMPARISON[collected.search], reason)
    known = known_lesions(priors)
    identification = identify(findings, tuple(known.values()), priors[-1])
    if identification.registration.method is Method.NONE and not _shares_frame(findings, priors[-1]):
        return _without_comparison(ComparisonStatus.NOT_COMPARABLE, identification.registration.reason)
    identity_of = identities(
        identification.matches, known, [finding.lesion.tracking_uid for finding in findings.findings]
    )
    absent = absences(identification.matches, known, identification.out_of_view)
    lesions = (
        *(_observed(finding, identity_of, known, acquisition, acquisition.date) for finding in findings.findings),
        *(_absent(known[uid], absence, acquisition.date) for uid, absence in absent.items()),
    )
    scans = (*map(_scan, priors), _current_scan(findings, acquisition.date))
    return Comparison(
        statement=ComparisonStatus.COMPARED,
        reason=collected.reason,
        scans=scans,
        registration=identification.registration,
        lesions=lesions,
        recist=assess_timeline(
            [*(prior_time_point(prior, known) for prior in priors), current_time_point(scans[-1], lesions)]
        ),
    )


def with_known_identities(findings: Findings, comparison: Comparison) -> Findings:
    """Return the findings with the tracking UIDs and numbers that the comparison gave to their lesions."""
    if not comparison.lesions:
        return findings
    current = comparison.lesions[: len(findings.findings)]
    renamed = tuple(_renamed(*pair) for pair in zip(findings.findings, current, strict=True))
    return replace(findings, findings=renamed, extent=extent_of(renamed, findings.lungs))  # its reasons name lesions


def _without_comparison(statement: ComparisonStatus, reason: str | None) -> Comparison:
    return Comparison(statement=statement, reason=reason, scans=(), registration=None, lesions=(), recist=None)


def _shares_frame(findings: Findings, prior: Prior) -> bool:
    return findings.frame_of_reference_uid == prior.frame_of_reference_uid


def _observed(
    finding: Finding,
    identity_of: Mapping[str, LesionIdentity],
    known: Known,
    acquisition: Acquisition,
    day: date,
) -> LesionTimeline:
    """Return the timeline of a lesion of the current scan."""
    identity = identity_of[finding.lesion.tracking_uid]
    known_lesion = known.get(identity.tracking_uid)
    current = Observation(
        date=day,
        sizes=finding.sizes,
        mass_g=finding.measurement.density.mass_g,
        kernel=acquisition.kernel,
        has_contrast=acquisition.has_contrast,
    )
    return LesionTimeline(
        tracking_uid=identity.tracking_uid,
        number=identity.number,
        observations=(
            *(known_lesion.observations if known_lesion else ()),
            LesionObservation(date=day, state=identity.state, sizes=current.sizes),
        ),
        event=identity.event,
        confidence=identity.confidence,
        possible_match=identity.possible_match,
        split_from=identity.split_from or (known_lesion.split_from if known_lesion else None),
        change=_change(known_lesion, current) if known_lesion and identity.event in ONE_TO_ONE else None,
        prior_image=known_lesion.image if known_lesion else None,
    )


def _change(known_lesion: KnownLesion, current: Observation) -> Change | None:
    """Return the change since the latest scan with the lesion's sizes."""
    if known_lesion.last_measured is None:
        return None
    prior, lesion = known_lesion.last_measured
    assert lesion.sizes is not None  # noqa: S101  (measured)
    prior_observation = Observation(
        date=prior.date,
        sizes=lesion.sizes,
        mass_g=lesion.mass_g,
        kernel=prior.kernel,
        has_contrast=prior.has_contrast,
    )
    return change_of(prior_observation, current)


def _absent(lesion: KnownLesion, absence: Absence, day: date) -> LesionTimeline:
    """Return the timeline of a known lesion that the current scan does not show separately."""
    return LesionTimeline(
        tracking_uid=lesion.tracking_uid,
        number=lesion.number,
        observations=(*lesion.observations, LesionObservation(date=day, state=absence.state, sizes=None)),
        event=absence.event,
        confidence=None,
        merged_into=absence.merged_into,
        prior_image=lesion.image,
    )


def _renamed(finding: Finding, timeline: LesionTimeline) -> Finding:
    lesion = replace(
        finding.lesion, tracking_uid=timeline.tracking_uid, tracking_id=timeline.name, number=timeline.number
    )
    return replace(finding, lesion=lesion)


def _scan(prior: Prior) -> TimelineScan:
    return TimelineScan(
        date=prior.date,
        study_uid=prior.study_uid,
        series_uid=prior.series_uid,
        slice_mm=prior.slice_mm,
        origin=prior.origin,
        report=prior.report,
    )


def _current_scan(findings: Findings, day: date) -> TimelineScan:
    return TimelineScan(
        date=day,
        study_uid=findings.study_uid,
        series_uid=findings.series_uid,
        slice_mm=findings.volume.spacing[0],
        origin=Origin.OURS,
        report=None,
    )
