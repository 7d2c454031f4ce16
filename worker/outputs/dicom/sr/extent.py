"""The group of the whole scan in the SR, TID 1501: totals, lobes and the proposed T category.

Every report has it; without a lesion, it is the only group. T and M1a are proposals; N is never stated.
"""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
from pydicom.dataset import Dataset

from worker.codes import lesions as codes
from worker.findings import Findings
from worker.outputs.dicom.sr.items import (
    Group,
    algorithm,
    evaluation,
    measurement,
    measurement_of_lobe,
    site,
    text,
    whole_image,
    yes_no,
)
from worker.outputs.dicom.sr.timepoint import time_point
from worker.outputs.quantities import extent_quantities, lobe_quantities
from worker.outputs.resampling import resampling_of
from worker.report import Report
from worker.staging.t_descriptor import TProposal
from worker.uids import derived_uid

NOT_CONFIRMED = "Proposed from this scan alone, by software: not a clinical or pathological stage."


def extent_group(report: Report, headers: Sequence[Dataset]) -> Group:
    """Return the group with the totals of all lesions, or with the statement that no lesion was found."""
    findings, resampling = report.findings, resampling_of(report.findings)
    identifier, role = ("Spread", "spread") if findings.findings else ("No lesion found", "no lesion")
    group = scan_group(
        hd.sr.TrackingIdentifier(uid=derived_uid(findings.job_key, role), identifier=identifier),
        headers,
        evaluations=_evaluations(findings),
        measurements=[*_scan_measurements(findings, headers), *_lobe_measurements(findings)],
        algorithm_id=algorithm(findings.card),
        time_point_context=time_point(report.comparison),
    )
    if resampling is not None:
        group[0].ContentSequence.append(text(codes.RESAMPLING, resampling.sentence))
    if findings.extent.proposal is not None:
        group[0].ContentSequence.extend(_proposal(findings.extent.proposal))
    return group


def _scan_measurements(findings: Findings, headers: Sequence[Dataset]) -> list[hd.sr.Measurement]:
    # OHIF 3.13 shows a black viewport if a report has lines and one of its groups has no coordinates.
    frame = [whole_image(headers[middle_slice(headers)])] if findings.findings else []
    return [
        measurement(quantity, frame if quantity.key == "lesions" else ())
        for quantity in extent_quantities(findings.extent)
    ]


def _lobe_measurements(findings: Findings) -> list[hd.sr.Measurement]:
    lobes = findings.extent.by_lobe
    return [measurement_of_lobe(quantity, burden.lobe) for burden in lobes for quantity in lobe_quantities(burden)]


def _evaluations(findings: Findings) -> list[hd.sr.QualitativeEvaluation]:
    """The outcome of the analysis; without a lesion, also that neoplasm is absent."""
    has_lungs = findings.lungs is not None
    if findings.findings:
        summary = codes.WITH_FINDINGS if has_lungs else codes.INCOMPLETE_WITH_FINDINGS
    else:
        summary = codes.WITHOUT_FINDINGS if has_lungs else codes.INCOMPLETE_WITHOUT_FINDINGS
    return [
        evaluation(codes.FINDINGS_SUMMARY, summary),
        *([] if findings.findings else [evaluation(codes.NEOPLASM, codes.ABSENT)]),
        yes_no(codes.LUNGS_FOUND, has_lungs),
        *([yes_no(codes.RESAMPLED, is_true=True)] if findings.volume.places is not None else []),
    ]


def _proposal(proposal: TProposal) -> list[hd.sr.ContentItem]:
    """The coded category, the descriptor as written, for example `T1b(3)`, and its basis."""
    category = codes.T_CATEGORIES[proposal.descriptor.split("(")[0]]
    return [
        *evaluation(codes.T_PROPOSAL, category),
        *(evaluation(codes.M_PROPOSAL, codes.M1A) if proposal.m1a else ()),
        text(codes.T_DESCRIPTOR, proposal.descriptor),
        *(text(codes.T_BASIS, clause) for clause in proposal.basis),
        text(codes.T_BASIS, NOT_CONFIRMED),
    ]


def scan_group(
    tracking: hd.sr.TrackingIdentifier,
    headers: Sequence[Dataset],
    *,
    evaluations: Sequence[hd.sr.QualitativeEvaluation],
    measurements: Sequence[hd.sr.Measurement] = (),
    algorithm_id: hd.sr.AlgorithmIdentification | None = None,
    time_point_context: hd.sr.TimePointContext | None = None,
) -> Group:
    """Return a group on the whole series. It refers to the middle image; the evidence lists every image."""
    middle = headers[middle_slice(headers)]
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        time_point_context=time_point_context,
        finding_sites=[site(None)],
        algorithm_id=algorithm_id,
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=[hd.sr.SourceImageForMeasurementGroup(middle.SOPClassUID, middle.SOPInstanceUID)],
    )


def middle_slice(slices: Sequence[object]) -> int:
    """Return the index of the middle slice, which represents the series."""
    return len(slices) // 2
