"""Follow-up groups of the SR, TID 1501: the comparison as a whole, and each lesion that the scan no longer shows.

lesion.py makes the groups of the lesions that the scan shows; extent.py makes the group of the scan alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import highdicom as hd
from pydicom.dataset import Dataset

from worker.codes import follow_up as over_time
from worker.codes import lesions as codes
from worker.findings import Findings
from worker.follow_up.comparison import (
    Comparison,
    ComparisonStatus,
    ImageReference,
    LesionTimeline,
    ReportReference,
    TimelineScan,
)
from worker.frame import Frame
from worker.outputs.days import days_of
from worker.outputs.dicom.sr.change import timeline_evaluations, timeline_items
from worker.outputs.dicom.sr.extent import middle_slice, scan_group
from worker.outputs.dicom.sr.items import (
    Group,
    algorithm,
    evaluation,
    measurement,
    site,
    text,
    whole_image,
    yes_no,
)
from worker.outputs.dicom.sr.recist import recist_evaluations, recist_items, recist_quantities
from worker.outputs.dicom.sr.timepoint import offset_days, time_point
from worker.outputs.quantities import Quantity, quantity
from worker.recist.timepoints import SEEN
from worker.registration.register import Registration
from worker.report import Report
from worker.uids import derived_uid


def timeline_groups(report: Report, headers: Sequence[Dataset]) -> list[Group]:
    """Return a group for each lesion that is no longer shown, and one for the comparison."""
    findings, comparison = report.findings, report.comparison
    shown = {finding.lesion.tracking_uid for finding in findings.findings}
    absent = [lesion for lesion in comparison.lesions if lesion.tracking_uid not in shown]
    return [
        *(_absent_group(lesion, report, headers) for lesion in absent),
        _comparison_group(report, headers),
    ]


def prior_evidence(comparison: Comparison) -> list[Dataset]:
    """Return the reports and images of prior time points that the SR refers to."""
    reports = [scan.report for scan in comparison.scans if scan.report]
    images = {lesion.prior_image for lesion in comparison.lesions if lesion.prior_image}
    return [
        *(_evidence(report, report) for report in reports),
        *(_evidence(image, image.frame) for image in sorted(images, key=lambda image: image.frame.sop_instance_uid)),
    ]


def _evidence(reference: ReportReference | ImageReference, instance: ReportReference | Frame) -> Dataset:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = instance.sop_class_uid, instance.sop_instance_uid
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = reference.study_uid, reference.series_uid
    return dataset


def _absent_group(lesion: LesionTimeline, report: Report, headers: Sequence[Dataset]) -> Group:
    """The lesion has no outline; the whole scan was searched for it."""
    group = hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=lesion.tracking_uid, identifier=lesion.name),
        time_point_context=time_point(report.comparison),
        finding_sites=[site(None)],
        algorithm_id=algorithm(report.findings.card),
        measurements=[measurement(_last_seen(lesion), _searched_region(report.findings, headers))],
        qualitative_evaluations=timeline_evaluations(lesion),
    )
    group[0].ContentSequence.extend(timeline_items(lesion))
    return group


def _searched_region(findings: Findings, headers: Sequence[Dataset]) -> list[hd.sr.CoordinatesForMeasurement]:
    # OHIF 3.13 shows a black viewport if a report has lines and one of its groups has no coordinates.
    return [whole_image(headers[middle_slice(headers)])] if findings.findings else []


def _last_seen(lesion: LesionTimeline) -> Quantity:
    """If no scan shows the lesion (only its report is left), the time counts from its first observation."""
    seen = [observation.date for observation in lesion.observations if observation.sizes or observation.state in SEEN]
    last = max(seen, default=lesion.observations[0].date)
    return quantity("last_seen_days", over_time.LAST_SEEN, (lesion.now.date - last).days, over_time.DAY)


def _comparison_group(report: Report, headers: Sequence[Dataset]) -> Group:
    findings, comparison = report.findings, report.comparison
    group = scan_group(
        hd.sr.TrackingIdentifier(
            uid=derived_uid(findings.job_key, "comparison"), identifier="Comparison with earlier scans"
        ),
        headers,
        evaluations=_evaluations(comparison),
        measurements=_measurements(comparison, _searched_region(findings, headers)),
        algorithm_id=algorithm(findings.card),
        time_point_context=time_point(comparison),
    )
    group[0].ContentSequence.extend(_items(comparison))
    return group


def _evaluations(comparison: Comparison) -> list[hd.sr.QualitativeEvaluation]:
    registration, recist = comparison.registration, comparison.recist
    return [
        yes_no(over_time.IS_COMPARED, comparison.statement is ComparisonStatus.COMPARED),
        evaluation(over_time.STATEMENT, over_time.STATEMENTS[comparison.statement]),
        *([evaluation(over_time.REGISTRATION, over_time.REGISTRATIONS[registration.method])] if registration else []),
        *(recist_evaluations(recist, comparison.scans[-1].date) if recist else ()),
    ]


def _measurements(
    comparison: Comparison, searched_region: Sequence[hd.sr.CoordinatesForMeasurement]
) -> list[hd.sr.Measurement]:
    recist = comparison.recist
    numbers = [
        *(_registration_quantities(comparison.registration) if comparison.registration else ()),
        *(recist_quantities(recist, comparison.scans[-1].date) if recist else ()),
    ]
    priors = len(comparison.scans[:-1])
    counted = quantity("time_points", over_time.PRIOR_SCANS, priors, over_time.SCANS)
    return [
        measurement(counted, searched_region),
        *(measurement(number) for number in numbers),
        *_time_points(comparison),
    ]


def _registration_quantities(registration: Registration) -> Iterable[Quantity]:
    quality = registration.quality
    if quality is not None:
        yield quantity("surface_mm", over_time.SURFACE, quality.surface_mm, codes.MILLIMETRE)
        yield quantity("surface_95_mm", over_time.SURFACE_95, quality.surface_95_mm, codes.MILLIMETRE)
        yield quantity("smallest_jacobian", over_time.SMALLEST_JACOBIAN, quality.smallest_jacobian, codes.NO_UNITS)
        yield quantity("largest_jacobian", over_time.LARGEST_JACOBIAN, quality.largest_jacobian, codes.NO_UNITS)


def _time_points(comparison: Comparison) -> Iterable[hd.sr.Measurement]:
    """Yield the days from the baseline to each scan, the current one last, with the scan's identifiers."""
    for index, scan in enumerate(comparison.scans):
        days = quantity("days", over_time.SCAN_OFFSET, offset_days(comparison, index), over_time.DAY)
        number = measurement(days)
        number[0].ContentSequence = hd.sr.ContentSequence(list(_scan_identifiers(scan)))
        yield number


def _scan_identifiers(scan: TimelineScan) -> Iterable[hd.sr.ContentItem]:
    related = hd.sr.RelationshipTypeValues.HAS_PROPERTIES
    yield hd.sr.UIDRefContentItem(name=over_time.STUDY_UID, value=scan.study_uid, relationship_type=related)
    yield hd.sr.UIDRefContentItem(name=over_time.SERIES_UID, value=scan.series_uid, relationship_type=related)
    yield hd.sr.CodeContentItem(name=over_time.ORIGIN, value=over_time.ORIGINS[scan.origin], relationship_type=related)


def _items(comparison: Comparison) -> Iterable[hd.sr.ContentItem]:
    days = days_of(comparison)
    registration, recist = comparison.registration, comparison.recist
    if comparison.reason:
        yield text(over_time.STATEMENT_REASON, days.replace_dates(comparison.reason))
    if registration and registration.reason:
        yield text(over_time.REGISTRATION_REASON, days.replace_dates(registration.reason))
    for report in (scan.report for scan in comparison.scans if scan.report):
        yield hd.sr.CompositeContentItem(
            name=over_time.PRIOR_REPORT,
            referenced_sop_class_uid=report.sop_class_uid,
            referenced_sop_instance_uid=report.sop_instance_uid,
            relationship_type=hd.sr.RelationshipTypeValues.CONTAINS,
        )
    if recist:
        yield from recist_items(recist, comparison.scans[-1].date, days)
