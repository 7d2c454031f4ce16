"""The group of the whole scan in the SR, TID 1501: what was found in all, and where. Knows no outline.

It is always there: of no lesion, it is the report. T is proposed, never claimed; of M no more than M1a is, and of N
nothing.
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
    answer,
    evaluation,
    measurement,
    measurement_of_lobe,
    site,
    text,
    whole_image,
)
from worker.outputs.dicom.sr.timepoint import time_point
from worker.outputs.quantities import Quantity, of_extent, of_lobe
from worker.staging.t_descriptor import TProposal
from worker.uids import derived_uid

NOT_CONFIRMED = "Proposed from this scan alone, by software: not a clinical or pathological stage."


def extent_group(findings: Findings, headers: Sequence[Dataset]) -> Group:
    """Return what is known of all lesions together, or that there is none."""
    identifier, role = ("Spread", "spread") if findings.findings else ("No lesion found", "no lesion")
    group = scan_group(
        hd.sr.TrackingIdentifier(uid=derived_uid(findings.job_key, role), identifier=identifier),
        headers,
        evaluations=_evaluations(findings),
        measurements=[*_of_scan(findings, headers), *_of_lobes(findings)],
        algorithm_id=algorithm(findings.card),
        when=time_point(findings.comparison),
    )
    proposal = findings.spread.proposal if findings.spread else None
    if proposal is not None:
        group[0].ContentSequence.extend(_proposal(proposal))
    return group


def _of_scan(findings: Findings, headers: Sequence[Dataset]) -> list[hd.sr.Measurement]:
    if findings.spread is None:
        number = len(findings.findings)
        quantities = [Quantity(key="lesions", name=codes.NUMBER_OF_LESIONS, value=number, unit=codes.LESIONS)]
    else:
        quantities = of_extent(findings.spread)
    # OHIF 3.13 stays black at a report with lines in which one group has no coordinates.
    frame = [whole_image(headers[middle_slice(headers)])] if findings.findings else []
    return [measurement(quantity, frame if quantity.key == "lesions" else ()) for quantity in quantities]


def _of_lobes(findings: Findings) -> list[hd.sr.Measurement]:
    lobes = findings.spread.by_lobe if findings.spread else ()
    return [measurement_of_lobe(quantity, burden.lobe) for burden in lobes for quantity in of_lobe(burden)]


def _evaluations(findings: Findings) -> list[hd.sr.QualitativeEvaluation]:
    """What came of the analysis; without a lesion, that neoplasm is absent."""
    has_lungs = findings.lungs is not None
    if findings.findings:
        came_of_it = codes.WITH_FINDINGS if has_lungs else codes.INCOMPLETE_WITH_FINDINGS
    else:
        came_of_it = codes.WITHOUT_FINDINGS if has_lungs else codes.INCOMPLETE_WITHOUT_FINDINGS
    return [
        evaluation(codes.FINDINGS_SUMMARY, came_of_it),
        *([] if findings.findings else [evaluation(codes.NEOPLASM, codes.ABSENT)]),
        answer(codes.LUNGS_FOUND, has_lungs),
    ]


def _proposal(proposal: TProposal) -> list[hd.sr.ContentItem]:
    """The category in a code, the descriptor as written, `T1b(3)` for instance, and why."""
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
    when: hd.sr.TimePointContext | None = None,
) -> Group:
    """Return a group over the whole series: the middle image stands for it, the evidence names every image."""
    middle = headers[middle_slice(headers)]
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=tracking,
        time_point_context=when,
        finding_sites=[site(None)],
        algorithm_id=algorithm_id,
        measurements=measurements,
        qualitative_evaluations=evaluations,
        source_images=[hd.sr.SourceImageForMeasurementGroup(middle.SOPClassUID, middle.SOPInstanceUID)],
    )


def middle_slice(slices: Sequence[object]) -> int:
    """Return the index of the slice that stands for all."""
    return len(slices) // 2
