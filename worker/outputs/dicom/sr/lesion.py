"""The two groups of one lesion in the SR, with one Tracking UID. Knows no other lesion.

TID 1501 holds the two axes as lines on the CT image, and nothing else: the only form in which OHIF draws them, and
highdicom allows no lines in a TID 1411 group. TID 1411 refers to the lesion's segment and holds every number; without a
segment to refer to, a TID 1501 group on the image of the axes takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from models.segmenter import ModelCard
from worker.codes import lesions as codes
from worker.findings import Finding, Findings
from worker.follow_up.comparison import Comparison, LesionTimeline
from worker.lesions.density import Density
from worker.lesions.location import LesionLocation
from worker.lesions.recist_diameters import Axis
from worker.outputs.dicom.sr.change import kept_for_later, timeline_evaluations, timeline_items, timeline_measurements
from worker.outputs.dicom.sr.items import Group, algorithm, answer, evaluation, measurement, site
from worker.outputs.dicom.sr.timepoint import time_point, time_point_in_words
from worker.outputs.quantities import of_lesion, of_place

# OHIF 3.13 draws an axis only in a group whose tracking identifier begins with this; its own suffix may follow.
_BIDIRECTIONAL = "Cornerstone3DTools@^0.1.0:Bidirectional"


def lesion_groups(finding: Finding, findings: Findings, headers: Sequence[Dataset], seg: Dataset | None) -> list[Group]:
    """Return the lines of a lesion, and its numbers, those of its course among them."""
    comparison = findings.comparison
    told = _Told(finding=finding, findings=findings, course=_course_of(finding, comparison))
    lines = _line_group(finding, findings.card, headers, time_point_in_words(comparison))
    numbers = _number_group(told, headers) if seg is None else _volume_group(told, seg)
    if told.course is not None:
        numbers[0].ContentSequence.extend(timeline_items(told.course))
    return [lines, numbers]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What the group of numbers tells."""

    finding: Finding
    findings: Findings
    course: LesionTimeline | None


def _course_of(finding: Finding, comparison: Comparison | None) -> LesionTimeline | None:
    lesions = comparison.lesions if comparison else ()
    return next((each for each in lesions if each.tracking_uid == finding.lesion.tracking_uid), None)


def _line_group(
    finding: Finding, card: ModelCard, headers: Sequence[Dataset], when: hd.sr.TimePointContext | None
) -> Group:
    """TID 1501."""
    lesion, measured = finding.lesion, finding.measurement
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=lesion.tracking_uid, identifier=f"{_BIDIRECTIONAL}:{lesion.tracking_id}"
        ),
        time_point_context=when,
        finding_category=codes.ABNORMAL_STRUCTURE,
        finding_type=codes.lesion_type(measured.long_axis.length_mm),
        finding_sites=[_site(finding)],
        algorithm_id=algorithm(card),
        measurements=[
            _line(codes.LONG_AXIS, measured.long_axis, headers[measured.long_axis.slice_index]),
            _line(codes.SHORT_AXIS, measured.short_axis, headers[measured.short_axis.slice_index]),
        ],
    )


def _line(name: Code, axis: Axis, image: Dataset) -> hd.sr.Measurement:
    # PS3.3 C.18.6.1.1: the outer corner of the first pixel is 0\0, its centre 0.5\0.5; an Axis has the centre at 0\0.
    points = np.array([axis.start_px, axis.end_px]) + 0.5
    return hd.sr.Measurement(
        name=name,
        value=float(axis.length_mm),
        unit=codes.MILLIMETRE,
        referenced_coordinates=[
            hd.sr.CoordinatesForMeasurement(
                graphic_type=hd.sr.GraphicTypeValues.POLYLINE,
                graphic_data=np.clip(points, 0, [image.Columns, image.Rows]),
                source_image=hd.sr.SourceImageForRegion(image.SOPClassUID, image.SOPInstanceUID),
            )
        ],
    )


def _volume_group(told: _Told, seg: Dataset) -> Group:
    """TID 1411."""
    finding = told.finding
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(finding),
        time_point_context=time_point(told.findings.comparison),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=seg.SOPClassUID,
            sop_instance_uid=seg.SOPInstanceUID,
            segment_number=finding.lesion.number,
            source_series=hd.sr.SourceSeriesForSegmentation(told.findings.series_uid),
        ),
        finding_category=codes.ABNORMAL_STRUCTURE,
        finding_type=codes.lesion_type(finding.measurement.long_axis.length_mm),
        finding_sites=[_site(finding)],
        algorithm_id=algorithm(told.findings.card),
        measurements=_numbers(told),
        qualitative_evaluations=_evaluations(told),
    )


def _number_group(told: _Told, headers: Sequence[Dataset]) -> Group:
    """TID 1501."""
    finding = told.finding
    image = headers[finding.measurement.long_axis.slice_index]
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(finding),
        time_point_context=time_point(told.findings.comparison),
        finding_category=codes.ABNORMAL_STRUCTURE,
        finding_type=codes.lesion_type(finding.measurement.long_axis.length_mm),
        finding_sites=[_site(finding)],
        algorithm_id=algorithm(told.findings.card),
        measurements=_numbers(told),
        qualitative_evaluations=_evaluations(told),
        source_images=[hd.sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)],
    )


def _tracking(finding: Finding) -> hd.sr.TrackingIdentifier:
    return hd.sr.TrackingIdentifier(uid=finding.lesion.tracking_uid, identifier=finding.lesion.tracking_id)


def _site(finding: Finding) -> hd.sr.FindingSite:
    return site(finding.place.lobe if finding.place else None)


def _numbers(told: _Told) -> list[hd.sr.Measurement]:
    finding = told.finding
    quantities = [*of_lesion(finding), *(of_place(finding.place) if finding.place else ())]
    return [
        *(measurement(quantity) for quantity in quantities),
        *(kept_for_later(finding, told.findings.volume) if told.findings.comparison else ()),
        *(timeline_measurements(told.course) if told.course else ()),
    ]


def _evaluations(told: _Told) -> list[hd.sr.QualitativeEvaluation]:
    density = told.finding.measurement.density
    return [
        *(_made_of(density) if density else ()),
        *_placed(told.finding.place),
        *(timeline_evaluations(told.course) if told.course else ()),
    ]


def _made_of(density: Density) -> list[hd.sr.QualitativeEvaluation]:
    return [
        evaluation(codes.OPACITY, codes.CONSISTENCIES[density.consistency]),
        evaluation(codes.CALCIFICATION, codes.PRESENT if density.is_calcified else codes.ABSENT),
        evaluation(codes.CAVITATION, codes.PRESENT if density.is_cavitated else codes.ABSENT),
    ]


def _placed(place: LesionLocation | None) -> list[hd.sr.QualitativeEvaluation]:
    if place is None:
        return [answer(codes.LUNGS_FOUND, is_so=False)]
    return [
        answer(codes.LOBE_CERTAIN, place.is_lobe_sure),
        answer(codes.WALL_CONTACT, place.touches_wall),
        answer(codes.MEDIASTINUM_CONTACT, place.touches_mediastinum),
        *([answer(codes.CARINA_FOUND, is_so=False)] if place.carina_mm is None else []),
    ]
