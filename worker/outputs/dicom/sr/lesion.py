"""The two groups of one lesion in the SR, with the same Tracking UID.

The TID 1501 group holds only the two axes as lines on the CT image: OHIF draws them in no other form, and highdicom
allows no lines in a TID 1411 group. The TID 1411 group refers to the lesion's segment and holds all measurements;
without a SEG, a TID 1501 group on the image of the axes replaces it.
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
from worker.findings import Finding
from worker.follow_up.comparison import Comparison, LesionTimeline
from worker.lesions.density import Density
from worker.lesions.location import LesionLocation
from worker.lesions.recist_diameters import Axis
from worker.outputs.dicom.sr.change import (
    size_measurements,
    timeline_evaluations,
    timeline_items,
    timeline_measurements,
)
from worker.outputs.dicom.sr.items import Group, algorithm, evaluation, measurement, site, yes_no
from worker.outputs.dicom.sr.timepoint import time_point, time_point_without_numbers
from worker.outputs.quantities import lesion_quantities, location_quantities
from worker.report import Report

# OHIF 3.13 draws an axis only if the tracking identifier of its group begins with this; a suffix is allowed.
_BIDIRECTIONAL = "Cornerstone3DTools@^0.1.0:Bidirectional"


def lesion_groups(finding: Finding, report: Report, headers: Sequence[Dataset], seg: Dataset | None) -> list[Group]:
    """Return the group with the lines of a lesion, and the group with its measurements, also over time."""
    content = _LesionContent(finding=finding, report=report, timeline=_timeline_of(finding, report.comparison))
    image = headers[report.findings.volume.image_at(finding.measurement.long_axis.slice_index)]
    lines = _line_group(finding, report.findings.card, image, time_point_without_numbers(report.comparison))
    numbers = _number_group(content, image) if seg is None else _volume_group(content, seg)
    if content.timeline is not None:
        numbers[0].ContentSequence.extend(timeline_items(content.timeline))
    return [lines, numbers]


@dataclass(frozen=True, slots=True, kw_only=True)
class _LesionContent:
    """Input of the group of measurements. timeline: None without a comparison."""

    finding: Finding
    report: Report
    timeline: LesionTimeline | None


def _timeline_of(finding: Finding, comparison: Comparison) -> LesionTimeline | None:
    return next((each for each in comparison.lesions if each.tracking_uid == finding.lesion.tracking_uid), None)


def _line_group(
    finding: Finding, card: ModelCard, image: Dataset, time_point_context: hd.sr.TimePointContext | None
) -> Group:
    """TID 1501. image: the one that both axes are on."""
    lesion, measured = finding.lesion, finding.measurement
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=lesion.tracking_uid, identifier=f"{_BIDIRECTIONAL}:{lesion.tracking_id}"
        ),
        time_point_context=time_point_context,
        finding_category=codes.ABNORMAL_STRUCTURE,
        finding_type=codes.lesion_type(measured.long_axis.length_mm),
        finding_sites=[_site(finding)],
        algorithm_id=algorithm(card),
        measurements=[
            _line(codes.LONG_AXIS, measured.long_axis, image),
            _line(codes.SHORT_AXIS, measured.short_axis, image),
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


def _volume_group(content: _LesionContent, seg: Dataset) -> Group:
    """TID 1411."""
    finding = content.finding
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(finding),
        time_point_context=time_point(content.report.comparison),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=seg.SOPClassUID,
            sop_instance_uid=seg.SOPInstanceUID,
            segment_number=content.report.findings.segment_number(finding.lesion.tracking_uid),
            source_series=hd.sr.SourceSeriesForSegmentation(content.report.findings.series_uid),
        ),
        finding_category=codes.ABNORMAL_STRUCTURE,
        finding_type=codes.lesion_type(finding.measurement.long_axis.length_mm),
        finding_sites=[_site(finding)],
        algorithm_id=algorithm(content.report.findings.card),
        measurements=_measurements(content),
        qualitative_evaluations=_evaluations(content),
    )


def _number_group(content: _LesionContent, image: Dataset) -> Group:
    """TID 1501."""
    finding = content.finding
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=_tracking(finding),
        time_point_context=time_point(content.report.comparison),
        finding_category=codes.ABNORMAL_STRUCTURE,
        finding_type=codes.lesion_type(finding.measurement.long_axis.length_mm),
        finding_sites=[_site(finding)],
        algorithm_id=algorithm(content.report.findings.card),
        measurements=_measurements(content),
        qualitative_evaluations=_evaluations(content),
        source_images=[hd.sr.SourceImageForMeasurementGroup(image.SOPClassUID, image.SOPInstanceUID)],
    )


def _tracking(finding: Finding) -> hd.sr.TrackingIdentifier:
    return hd.sr.TrackingIdentifier(uid=finding.lesion.tracking_uid, identifier=finding.lesion.tracking_id)


def _site(finding: Finding) -> hd.sr.FindingSite:
    return site(finding.location.lobe if finding.location else None)


def _measurements(content: _LesionContent) -> list[hd.sr.Measurement]:
    finding = content.finding
    quantities = [*lesion_quantities(finding), *(location_quantities(finding.location) if finding.location else ())]
    return [
        *(measurement(quantity) for quantity in quantities),
        *size_measurements(finding),
        *(timeline_measurements(content.timeline) if content.timeline else ()),
    ]


def _evaluations(content: _LesionContent) -> list[hd.sr.QualitativeEvaluation]:
    density = content.finding.measurement.density
    return [
        *_composition_evaluations(density),
        *_location_evaluations(content.finding.location),
        *(timeline_evaluations(content.timeline) if content.timeline else ()),
    ]


def _composition_evaluations(density: Density) -> list[hd.sr.QualitativeEvaluation]:
    return [
        evaluation(codes.OPACITY, codes.CONSISTENCIES[density.consistency]),
        evaluation(codes.CALCIFICATION, codes.PRESENT if density.is_calcified else codes.ABSENT),
        evaluation(codes.CAVITATION, codes.PRESENT if density.is_cavitated else codes.ABSENT),
    ]


def _location_evaluations(location: LesionLocation | None) -> list[hd.sr.QualitativeEvaluation]:
    if location is None:
        return [yes_no(codes.LUNGS_FOUND, is_true=False)]
    return [
        yes_no(codes.LOBE_CERTAIN, location.is_lobe_sure),
        yes_no(codes.WALL_CONTACT, location.touches_wall),
        yes_no(codes.MEDIASTINUM_CONTACT, location.touches_mediastinum),
        *([yes_no(codes.CARINA_FOUND, is_true=False)] if location.carina_mm is None else []),
    ]
