"""Writes the findings as a TID 1500 Measurement Report. Knows no voxels: the SEG holds those.

Each lesion has two groups with one Tracking UID: TID 1411 refers to its segment and holds volume and Hounsfield units;
TID 1501 holds the two axes as lines on the CT image, the only form in which OHIF draws them, and highdicom allows no
lines in a TID 1411 group. The report is preliminary, unverified, and says that it is research.
"""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from models.segmenter import ModelCard
from worker import codes
from worker.axes import Axis
from worker.findings import Finding, Findings
from worker.outputs.identity import (
    PRODUCT,
    RESEARCH_SENTENCE,
    Identity,
    algorithm_parameters,
    device_uid,
    forget_the_clock,
    identity,
)
from worker.outputs.source import SourceImages, plain_header, take_over_patient_and_study, volume_headers
from worker.uids import derived_uid

# OHIF 3.13 draws an axis only in a group whose tracking identifier begins with this; its own suffix may follow.
_BIDIRECTIONAL = "Cornerstone3DTools@^0.1.0:Bidirectional"
_TITLE = "lung lesions report"

Group = hd.sr.MeasurementsAndQualitativeEvaluations | hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations


def encode_sr(findings: Findings, source_images: SourceImages, seg: Dataset | None) -> hd.sr.Comprehensive3DSR:
    """Return the report of all lesions, or of there being none; `seg` is the SEG that it refers to, if there is one."""
    headers = volume_headers(source_images, findings)
    lesions = [group for finding in findings.findings for group in _lesion_groups(finding, findings.card, headers, seg)]
    report = _report(
        lesions or [_no_lesion_group(findings, headers)],
        findings.card,
        library=[headers[index] for index in _slices_drawn_on(findings)],
    )
    evidence = [*headers, *([seg] if seg is not None else [])]
    who = identity(findings.job_key, "sr", findings.card, source_images, _TITLE)
    return _document(report, evidence, who, source_images[0])


def encode_refusal(job_key: str, reason: str, card: ModelCard, source_images: SourceImages) -> hd.sr.Comprehensive3DSR:
    """Return a report that the series was not analysed, and why; `reason` holds no patient data."""
    headers = [plain_header(image) for image in source_images]
    group = _summary_group(
        hd.sr.TrackingIdentifier(uid=derived_uid(job_key, "not analysed"), identifier="Analysis not performed"),
        [hd.sr.QualitativeEvaluation(codes.SUMMARY_OF_ANALYSES, codes.NOT_ATTEMPTED)],
        headers,
    )
    group[0].ContentSequence.append(_comment(reason))
    who = identity(job_key, "refusal", card, source_images, "lung lesions not analysed")
    return _document(_report([group], card, library=[]), headers, who, source_images[0])


def _slices_drawn_on(findings: Findings) -> list[int]:
    measured = [finding.measurement for finding in findings.findings]
    return sorted({axis.slice_index for m in measured for axis in (m.long_axis, m.short_axis)})


def _lesion_groups(finding: Finding, card: ModelCard, headers: Sequence[Dataset], seg: Dataset | None) -> list[Group]:
    if seg is None:  # without a segment to refer to, all numbers stand with the lines
        return [_line_group(finding, card, headers, _volume_measurements(finding))]
    return [_line_group(finding, card, headers, []), _volume_group(finding, card, seg, headers[0].SeriesInstanceUID)]


def _volume_group(finding: Finding, card: ModelCard, seg: Dataset, source_series_uid: str) -> Group:
    """TID 1411."""
    lesion = finding.lesion
    return hd.sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=lesion.tracking_uid, identifier=lesion.tracking_id),
        referenced_segment=hd.sr.ReferencedSegment(
            sop_class_uid=seg.SOPClassUID,
            sop_instance_uid=seg.SOPInstanceUID,
            segment_number=lesion.number,
            source_series=hd.sr.SourceSeriesForSegmentation(source_series_uid),
        ),
        finding_category=codes.ABNORMAL_STRUCTURE,
        finding_type=codes.lesion_type(finding.measurement.long_axis.length_mm),
        finding_sites=[hd.sr.FindingSite(anatomic_location=codes.LUNG)],
        algorithm_id=_algorithm(card),
        measurements=_volume_measurements(finding),
    )


def _volume_measurements(finding: Finding) -> list[hd.sr.Measurement]:
    measured = finding.measurement
    return [
        _number(codes.VOLUME, measured.volume_ml, codes.MILLILITRE),
        _number(codes.ATTENUATION, measured.mean_hu, codes.HOUNSFIELD_UNIT, codes.MEAN),
        _number(codes.ATTENUATION, measured.sd_hu, codes.HOUNSFIELD_UNIT, codes.STANDARD_DEVIATION),
    ]


def _number(name: Code, value: float, unit: Code, derivation: Code | None = None) -> hd.sr.Measurement:
    return hd.sr.Measurement(name=name, value=float(value), unit=unit, derivation=derivation)


def _line_group(finding: Finding, card: ModelCard, headers: Sequence[Dataset], more: list[hd.sr.Measurement]) -> Group:
    """TID 1501."""
    lesion, measured = finding.lesion, finding.measurement
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=lesion.tracking_uid, identifier=f"{_BIDIRECTIONAL}:{lesion.tracking_id}"
        ),
        finding_category=codes.ABNORMAL_STRUCTURE,
        finding_type=codes.lesion_type(measured.long_axis.length_mm),
        finding_sites=[hd.sr.FindingSite(anatomic_location=codes.LUNG)],
        algorithm_id=_algorithm(card),
        measurements=[
            _line(codes.LONG_AXIS, measured.long_axis, headers[measured.long_axis.slice_index]),
            _line(codes.SHORT_AXIS, measured.short_axis, headers[measured.short_axis.slice_index]),
            *more,
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


def _no_lesion_group(findings: Findings, headers: Sequence[Dataset]) -> Group:
    """Every algorithm succeeded, neoplasm is absent, the number of lesions is 0: said in codes."""
    return _summary_group(
        hd.sr.TrackingIdentifier(uid=derived_uid(findings.job_key, "no lesion"), identifier="No lesion found"),
        [
            hd.sr.QualitativeEvaluation(codes.FINDINGS_SUMMARY, codes.WITHOUT_FINDINGS),
            hd.sr.QualitativeEvaluation(codes.NEOPLASM, codes.ABSENT),
        ],
        headers,
        [hd.sr.Measurement(name=codes.NUMBER_OF_LESIONS, value=0, unit=codes.LESIONS)],
        _algorithm(findings.card),
    )


def _summary_group(
    tracking: hd.sr.TrackingIdentifier,
    evaluations: list[hd.sr.QualitativeEvaluation],
    headers: Sequence[Dataset],
    measurements: list[hd.sr.Measurement] | None = None,
    algorithm: hd.sr.AlgorithmIdentification | None = None,
) -> Group:
    """TID 1501 over the whole series: the middle image stands for it, the evidence names every image."""
    middle = headers[len(headers) // 2]
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        finding_sites=[hd.sr.FindingSite(anatomic_location=codes.LUNG)],
        algorithm_id=algorithm,
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=[hd.sr.SourceImageForMeasurementGroup(middle.SOPClassUID, middle.SOPInstanceUID)],
    )


def _report(groups: list[Group], card: ModelCard, library: list[Dataset]) -> hd.sr.MeasurementReport:
    report = hd.sr.MeasurementReport(
        observation_context=_observation_context(card),
        procedure_reported=codes.CT_PROCEDURE,
        imaging_measurements=groups,
        # PS3.16 CID 7021 has both. OHIF 3.13 shows the first as lines, and one without lines as a black viewport; the
        # second it shows as text.
        title=codes.MEASUREMENT_REPORT if library else codes.ONCOLOGY_REPORT,
        referenced_images=library,
    )
    report[0].ContentSequence.append(_comment(RESEARCH_SENTENCE))  # TID 1500 is extensible
    return report


def _observation_context(card: ModelCard) -> hd.sr.ObservationContext:
    """A device and no person: nobody has looked at this yet."""
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=device_uid(card), name=PRODUCT, manufacturer_name=PRODUCT, model_name=f"{card.name} {card.version}"
    )
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(
            observer_type=hd.sr.CodedConcept.from_code(codes.DEVICE), observer_identifying_attributes=device
        )
    )


def _algorithm(card: ModelCard) -> hd.sr.AlgorithmIdentification:
    return hd.sr.AlgorithmIdentification(
        name=card.name,
        version=card.version,
        parameters=[f"{name}={value}" for name, value in algorithm_parameters(card).items()],
        family=codes.ARTIFICIAL_INTELLIGENCE,
        manufacturer=PRODUCT,
    )


def _comment(text: str) -> hd.sr.TextContentItem:
    return hd.sr.TextContentItem(
        name=codes.COMMENT, value=text, relationship_type=hd.sr.RelationshipTypeValues.CONTAINS
    )


def _document(
    report: hd.sr.MeasurementReport, evidence: Sequence[Dataset], who: Identity, image: Dataset
) -> hd.sr.Comprehensive3DSR:
    document = hd.sr.Comprehensive3DSR(
        evidence=evidence, content=report, is_complete=True, is_final=False, is_verified=False, **who
    )
    take_over_patient_and_study(document, image)
    forget_the_clock(document)
    return document
