"""Compares the current scan with the patient's earlier ones: identity, change, response. Reads and encodes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

from dicom_node.prior import PriorSearch
from worker.ct.acquisition import Acquisition
from worker.findings import Finding, Findings
from worker.follow_up.change import Change, Observation, change_of
from worker.follow_up.comparison import Comparison, LesionObservation, LesionTimeline, Origin, Statement, TimelineScan
from worker.follow_up.lesion_history import KnownLesion, comparable, known_lesions
from worker.follow_up.matching import Event
from worker.follow_up.scan_match import identify
from worker.follow_up.timepoints import current_point, earlier_point
from worker.follow_up.tracking import Absence, Identity, absences, identities
from worker.lesions.uncertainty import sizes_of
from worker.priors.collect import CollectedPriors
from worker.priors.read import Prior
from worker.recist.assessment import course_of
from worker.registration.register import Method

WITHOUT_COMPARISON = {
    PriorSearch.FOUND: Statement.NOT_COMPARABLE,
    PriorSearch.NONE_EXISTS: Statement.NO_PRIOR,
    PriorSearch.NOT_FETCHED: Statement.NOT_FETCHED,
    PriorSearch.NOT_QUERIED: Statement.NOT_QUERIED,
}
"""What is to be said where nothing came of the search that could be compared."""
ONE_TO_ONE = (Event.SAME, Event.RETURNED)
"""Of a lesion that merged or split, the sizes on both scans are not those of one thing."""

Known = Mapping[str, KnownLesion]


def follow_up(findings: Findings, acquisition: Acquisition, earlier: CollectedPriors) -> Findings:
    """Return the findings among the earlier scans; a lesion that is surely a known one bears its tracking UID."""
    if acquisition.date is None:
        return _alone(findings, Statement.NOT_COMPARABLE, "the current scan has no study date")
    priors = comparable(earlier.priors, acquisition.date)
    if not priors:
        reason = earlier.reason or ("no earlier scan is of another day" if earlier.priors else None)
        return _alone(findings, WITHOUT_COMPARISON[earlier.search], reason)
    known = known_lesions(priors)
    found = identify(findings, tuple(known.values()), priors[-1])
    if found.registration.method is Method.NONE and not _shares_frame(findings, priors[-1]):
        return _alone(findings, Statement.NOT_COMPARABLE, found.registration.reason)
    names = identities(found.matches, known, [finding.lesion.tracking_uid for finding in findings.findings])
    gone = absences(found.matches, known, found.out_of_view)
    lesions = (
        *(_seen(finding, names, known, (findings, acquisition), acquisition.date) for finding in findings.findings),
        *(_gone(known[uid], absence, acquisition.date) for uid, absence in gone.items()),
    )
    scans = (*map(_scan, priors), _current_scan(findings, acquisition.date))
    comparison = Comparison(
        statement=Statement.COMPARED,
        reason=earlier.reason,
        scans=scans,
        registration=found.registration,
        lesions=lesions,
        recist=course_of([*map(earlier_point, priors), current_point(scans[-1], lesions)]),
    )
    renamed = tuple(_renamed(finding, names) for finding in findings.findings)
    return replace(findings, findings=renamed, comparison=comparison)


def _alone(findings: Findings, statement: Statement, reason: str | None) -> Findings:
    """Return the findings with the statement why there is no comparison."""
    alone = Comparison(statement=statement, reason=reason, scans=(), registration=None, lesions=(), recist=None)
    return replace(findings, comparison=alone)


def _shares_frame(findings: Findings, prior: Prior) -> bool:
    return findings.frame_of_reference_uid == prior.frame_of_reference_uid


def _seen(
    finding: Finding, names: Mapping[str, Identity], known: Known, scan: tuple[Findings, Acquisition], day: date
) -> LesionTimeline:
    """Return the course of a lesion that the current scan shows."""
    findings, acquisition = scan
    identity = names[finding.lesion.tracking_uid]
    before = known.get(identity.tracking_uid)
    now = Observation(
        date=day,
        sizes=sizes_of(finding.lesion, finding.measurement, findings.volume),
        mass_g=finding.measurement.density.mass_g if finding.measurement.density else None,
        kernel=acquisition.kernel,
        has_contrast=acquisition.has_contrast,
    )
    return LesionTimeline(
        tracking_uid=identity.tracking_uid,
        name=identity.name,
        observations=(
            *(before.observations if before else ()),
            LesionObservation(date=day, state=identity.state, sizes=now.sizes),
        ),
        event=identity.event,
        confidence=identity.confidence,
        possible_match=identity.possible_match,
        split_from=identity.split_from or (before.split_from if before else None),
        change=_change(before, now) if before and identity.event in ONE_TO_ONE else None,
        earlier_image=before.image if before else None,
    )


def _change(before: KnownLesion, now: Observation) -> Change | None:
    """Compare with the latest scan that gives the lesion's sizes."""
    if before.last_measured is None:
        return None
    prior, lesion = before.last_measured
    assert lesion.sizes is not None  # noqa: S101  (measured)
    earlier = Observation(
        date=prior.date,
        sizes=lesion.sizes,
        mass_g=lesion.mass_g,
        kernel=prior.kernel,
        has_contrast=prior.has_contrast,
    )
    return change_of(earlier, now)


def _gone(lesion: KnownLesion, absence: Absence, day: date) -> LesionTimeline:
    """Return the course of a known lesion that the current scan does not show for itself."""
    return LesionTimeline(
        tracking_uid=lesion.tracking_uid,
        name=lesion.name,
        observations=(*lesion.observations, LesionObservation(date=day, state=absence.state, sizes=None)),
        event=absence.event,
        confidence=None,
        merged_into=absence.merged_into,
        earlier_image=lesion.image,
    )


def _renamed(finding: Finding, names: Mapping[str, Identity]) -> Finding:
    identity = names[finding.lesion.tracking_uid]
    lesion = replace(finding.lesion, tracking_uid=identity.tracking_uid, tracking_id=identity.name)
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
