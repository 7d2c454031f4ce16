"""A comparison of which everything is known, written by hand: three scans, and every event that a lesion can have."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from tests.worker.hand_courses import at, day, gone, lesion, merged
from worker.change import Observation, change_of
from worker.comparison import (
    Comparison,
    ImageReference,
    LesionCourse,
    Origin,
    ReportReference,
    ScanOfCourse,
    Sighting,
    Statement,
)
from worker.findings import Finding, Findings
from worker.matching import Event
from worker.recist import Course, course_of
from worker.registration import Method, Points, Quality, Registration
from worker.tracked import State, TimePoint
from worker.uncertainty import Sizes

DAYS = (0, 90, 200)
"""Of the three scans."""
NOISE = 0.031234
VANISHED_UID, MERGED_UID = "2.25.901", "2.25.902"
REPORT = ReportReference(
    study_uid="1.2.91", series_uid="1.2.91.9", sop_class_uid="1.2.840.10008.5.1.4.1.1.88.34",
    sop_instance_uid="1.2.91.9.1",
)  # fmt: skip
IMAGE = ImageReference(study_uid="1.2.91", series_uid="1.2.91.2", sop_instance_uid="1.2.91.2.17")


def compared(findings: Findings) -> Findings:
    """The findings, of five lesions, as the third scan of a patient."""
    first, second, third, fourth, fifth = (_course(finding) for finding in findings.findings)
    lesions = (
        replace(first, event=Event.SAME, confidence=0.9712, earlier_image=IMAGE),
        replace(second, event=Event.NEW, sightings=second.sightings[-1:], change=None),
        replace(third, event=Event.MERGED, confidence=0.85),
        replace(fourth, event=Event.SPLIT, confidence=0.75, split_from=third.tracking_uid, change=None),
        replace(fifth, event=Event.NEW, confidence=0.4, possible_match=VANISHED_UID, change=None),
        LesionCourse(
            tracking_uid=VANISHED_UID, name="lesion-6", event=Event.VANISHED, confidence=0.9,
            sightings=(
                Sighting(date=day(0), state=State.PRESENT, sizes=_sizes(findings.findings[4], 1.0)),
                Sighting(date=day(90), state=State.PRESENT, sizes=_sizes(findings.findings[4], 0.5)),
                Sighting(date=day(200), state=State.VANISHED, sizes=None),
            ),
        ),
        LesionCourse(
            tracking_uid=MERGED_UID, name="lesion-7", event=Event.MERGED, confidence=0.85,
            merged_into=third.tracking_uid,
            sightings=(
                Sighting(date=day(90), state=State.PRESENT, sizes=_sizes(findings.findings[4], 0.8)),
                Sighting(date=day(200), state=State.MERGED, sizes=None),
            ),
        ),
    )  # fmt: skip
    return replace(
        findings,
        comparison=Comparison(
            statement=Statement.COMPARED,
            reason=None,
            scans=_scans(findings),
            registration=REGISTRATION,
            lesions=lesions,
            recist=course(first.tracking_uid, third.tracking_uid, second.tracking_uid),
        ),
    )


def alone(findings: Findings, statement: Statement, reason: str | None = None) -> Findings:
    """The findings with a statement why they stand alone."""
    return replace(
        findings,
        comparison=Comparison(statement=statement, reason=reason, scans=(), registration=None, lesions=(), recist=None),
    )


def course(first: str, third: str, new: str) -> Course:
    """Targets of 40.0 and 20.0 mm, then 30.0 and 20.0, then 21.0 and 15.0 with a new lesion."""
    return course_of([
        at(0, lesion(first, 40.0, 10.0), lesion(third, 20.0, 2.0), lesion(VANISHED_UID, 8.0, 0.2)),
        at(90, lesion(first, 30.0, 6.0), lesion(third, 20.0, 2.0), lesion(VANISHED_UID, 6.0, 0.1)),
        _today(first, third, new),
    ])  # fmt: skip


def _today(first: str, third: str, new: str) -> TimePoint:
    return at(
        200, lesion(first, 21.0, 3.0), lesion(third, 15.0, 1.0), lesion(new, 7.0, 0.1), gone(VANISHED_UID),
        merged(MERGED_UID, third),
    )  # fmt: skip


def _as_it_is(points_mm: Points) -> Points:
    return points_mm


REGISTRATION = Registration(
    method=Method.RIGID,
    to_later=_as_it_is,
    quality=Quality(surface_mm=1.234, surface_95_mm=4.567, smallest_jacobian=0.81234, largest_jacobian=1.23456),
    reason="the deformable registration folded",
)


def _scans(findings: Findings) -> tuple[ScanOfCourse, ...]:
    return (
        _scan(day(0), "1.2.90", None, Origin.READER),
        _scan(day(90), "1.2.91", REPORT, Origin.OURS),
        ScanOfCourse(
            date=day(200), study_uid=findings.study_uid, series_uid=findings.series_uid,
            slice_mm=findings.volume.spacing[0], origin=Origin.OURS, report=None,
        ),
    )  # fmt: skip


def _scan(on: date, study_uid: str, report: ReportReference | None, origin: Origin) -> ScanOfCourse:
    return ScanOfCourse(
        date=on, study_uid=study_uid, series_uid=f"{study_uid}.2", slice_mm=2.5, origin=origin, report=report
    )


def _course(finding: Finding) -> LesionCourse:
    """Each grew by half between the first two scans, and by half again."""
    days = [day(days) for days in DAYS]
    sizes = [_sizes(finding, scale) for scale in (0.4444, 0.6667, 1.0)]
    return LesionCourse(
        tracking_uid=finding.lesion.tracking_uid,
        name=finding.lesion.tracking_id,
        sightings=tuple(
            Sighting(date=on, state=State.PRESENT, sizes=each) for on, each in zip(days, sizes, strict=True)
        ),
        event=None,
        confidence=None,
        change=change_of(
            Observation(date=days[1], sizes=sizes[1], mass_g=0.9, kernel="B30f", has_contrast=False),
            Observation(date=days[2], sizes=sizes[2], mass_g=1.5, kernel="B70f", has_contrast=None),
        ),
    )


def _sizes(finding: Finding, scale: float) -> Sizes:
    measured = finding.measurement
    return Sizes(
        volume_ml=round(measured.volume_ml * scale, 4),
        long_axis_mm=round(measured.long_axis.length_mm * scale ** (1 / 3), 3),
        short_axis_mm=round(measured.short_axis.length_mm * scale ** (1 / 3), 3),
        slices=int(finding.lesion.voxels.any(axis=(1, 2)).sum()),
        spacing_mm=(2.5, 0.75, 0.75),
        noise=NOISE,
    )
