"""Encodes the findings, or a rejection, as a TID 1500 Measurement Report.

lesion.py makes the groups of a lesion, extent.py that of the whole scan, comparison.py those of the follow-up. The
report is preliminary, unverified and marked as research.
"""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
from pydicom.dataset import Dataset

from models.segmenter import ModelCard
from worker.codes import lesions as codes
from worker.findings import Findings
from worker.outputs.dicom.frames import refer_to_frames
from worker.outputs.dicom.header import DocumentIdentity, device_uid, document_identity, remove_write_times
from worker.outputs.dicom.source import Source, copy_identity
from worker.outputs.dicom.sr.comparison import prior_evidence, timeline_groups
from worker.outputs.dicom.sr.extent import extent_group, middle_slice, scan_group
from worker.outputs.dicom.sr.items import Group, evaluation, text
from worker.outputs.dicom.sr.lesion import lesion_groups
from worker.product import PRODUCT, RESEARCH_SENTENCE
from worker.report import Report
from worker.uids import derived_uid

_TITLE = "Lung lesions SR"


def encode_sr(report: Report, source: Source, seg: Dataset | None) -> hd.sr.Comprehensive3DSR:
    """Return the report of all lesions, or that none was found. seg: the SEG to refer to, or None."""
    findings = report.findings
    headers = source.headers
    lesions = [group for finding in findings.by_number for group in lesion_groups(finding, report, headers, seg)]
    content = _report(
        [*lesions, *timeline_groups(report, headers), extent_group(report, headers)],
        findings.card,
        library=[headers[index] for index in _measured_slices(findings)] if findings.findings else [],
    )
    evidence = [*headers, *([seg] if seg is not None else []), *prior_evidence(report.comparison)]
    document_attributes = document_identity(findings.job_key, "sr", findings.card, source, _TITLE)
    document = _document(content, evidence, document_attributes, source)
    refer_to_frames(document, source.frames)
    if report.replaces is not None:
        document.PredecessorDocumentsSequence = [_report_of(report.replaces, document)]
    return document


def _report_of(job_key: str, replaced_by: Dataset) -> Dataset:
    """Return the reference to the report of another job of the same series (PS3.3 table C.17-3)."""
    study, series, instance = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID = replaced_by.SOPClassUID
    instance.ReferencedSOPInstanceUID = derived_uid(job_key, "sr", "instance")
    series.SeriesInstanceUID, series.ReferencedSOPSequence = derived_uid(job_key, "sr", "series"), [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = replaced_by.StudyInstanceUID, [series]
    return study


def encode_rejection(job_key: str, reason: str, card: ModelCard, source: Source) -> hd.sr.Comprehensive3DSR:
    """Return a report that the series was not analysed. reason: why, without patient data."""
    group = scan_group(
        hd.sr.TrackingIdentifier(uid=derived_uid(job_key, "not analysed"), identifier="Analysis not performed"),
        source.headers,
        evaluations=[evaluation(codes.SUMMARY_OF_ANALYSES, codes.NOT_ATTEMPTED)],
    )
    group[0].ContentSequence.append(text(codes.COMMENT, reason))
    document_attributes = document_identity(job_key, "rejection", card, source, "Lungs not analysed SR")
    return _document(_report([group], card, library=[]), source.headers, document_attributes, source)


def _measured_slices(findings: Findings) -> list[int]:
    measured = [finding.measurement for finding in findings.findings]
    axes = {findings.volume.image_at(axis.slice_index) for m in measured for axis in (m.long_axis, m.short_axis)}
    return sorted(axes | {middle_slice(findings.frames)})


def _report(groups: list[Group], card: ModelCard, library: list[Dataset]) -> hd.sr.MeasurementReport:
    report = hd.sr.MeasurementReport(
        observation_context=_observation_context(card),
        procedure_reported=codes.CT_PROCEDURE,
        imaging_measurements=groups,
        # Both are in PS3.16 CID 7021. OHIF 3.13 draws the lines of the first and shows a black viewport if there are
        # none; the second is shown as text.
        title=codes.MEASUREMENT_REPORT if library else codes.ONCOLOGY_REPORT,
        referenced_images=library,
    )
    report[0].ContentSequence.append(text(codes.COMMENT, RESEARCH_SENTENCE))  # TID 1500 is extensible
    return report


def _observation_context(card: ModelCard) -> hd.sr.ObservationContext:
    """The observer is a device: no person has reviewed the report."""
    device = hd.sr.DeviceObserverIdentifyingAttributes(
        uid=device_uid(card), name=PRODUCT, manufacturer_name=PRODUCT, model_name=f"{card.name} {card.version}"
    )
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(
            observer_type=hd.sr.CodedConcept.from_code(codes.DEVICE), observer_identifying_attributes=device
        )
    )


def _document(
    report: hd.sr.MeasurementReport, evidence: Sequence[Dataset], document_attributes: DocumentIdentity, source: Source
) -> hd.sr.Comprehensive3DSR:
    document = hd.sr.Comprehensive3DSR(
        evidence=evidence,
        content=_first_item_of(report[0]),
        is_complete=True,
        is_final=False,
        is_verified=False,
        **document_attributes,
    )
    document.ContentSequence = report[0].ContentSequence
    copy_identity(document, source)
    remove_write_times(document)
    return document


def _first_item_of(content: Dataset) -> Dataset:
    """Return the root container with its first item alone: highdicom 0.28 copies and searches all that it is given.

    That takes two thirds of the time of a report with 20 lesions. All evidence is recorded, whether referred to or not.
    """
    root = Dataset()
    for keyword in content.dir():
        if keyword != "ContentSequence":
            root[keyword] = content[keyword]
    root.ContentSequence = content.ContentSequence[:1]
    return root
