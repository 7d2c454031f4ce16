"""Paragraphs on the proposed response with its arithmetic, and on how the scans were compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from worker.follow_up.comparison import Comparison, ComparisonStatus, Origin
from worker.outputs.days import Days, days_of
from worker.outputs.page.sheet import GREY
from worker.outputs.page.text import Paragraph
from worker.recist.assessment import ResponseTimeline
from worker.recist.response import Response
from worker.registration.register import Registration

RADIOLOGIST = "Proposed by research software; a radiologist decides."
BULLET = "· "


def follow_up_paragraphs(comparison: Comparison) -> Iterator[Paragraph]:
    """Yield the statement on priors for the first page."""
    days = days_of(comparison)
    if comparison.statement is ComparisonStatus.COMPARED:
        priors = len(comparison.scans) - 1
        scans = "1 earlier scan" if priors == 1 else f"{priors} earlier scans"
        yield Paragraph(text=f"Follow-up: compared with {scans}, see the next page", bold=True)
    else:
        yield Paragraph(text=f"Follow-up: {comparison.statement}", bold=True)
    if comparison.reason:
        yield Paragraph(text=days.replace_dates(comparison.reason))
    if comparison.recist and comparison.recist.assessments:
        response = comparison.recist.assessments[-1].response
        yield Paragraph(text=f"RECIST 1.1, proposed: {response}. {RADIOLOGIST}", colour=GREY)


def response_paragraphs(comparison: Comparison) -> Iterator[Paragraph]:
    """Yield the proposed response, and the registration and conditions of the comparison."""
    days = days_of(comparison)
    if comparison.recist:
        yield from _response(comparison.recist, days)
        yield Paragraph(text="")
    yield Paragraph(text="How it was compared", bold=True)
    if comparison.registration:
        for text in _registration(comparison.registration, days):
            yield Paragraph(text=BULLET + text, indent=0.6)
    for text in _conditions(comparison, days):
        yield Paragraph(text=BULLET + text, indent=0.6)


def _response(timeline: ResponseTimeline, days: Days) -> Iterator[Paragraph]:
    if not timeline.assessments:
        yield Paragraph(text="RECIST 1.1: this is the baseline", bold=True)
        yield from (Paragraph(text=BULLET + days.line(line), indent=0.6) for line in timeline.baseline.basis)
        return
    now = timeline.assessments[-1]
    yield Paragraph(text=f"Proposed response, RECIST 1.1: {now.response}", bold=True)
    yield Paragraph(text=RADIOLOGIST, colour=GREY)
    for line in now.basis:
        yield Paragraph(text=BULLET + days.line(line), indent=0.6)
    if timeline.progressed_on and not _is_assessed_pd(timeline):
        yield Paragraph(text=f"{BULLET}progression proposed since day {days.of(timeline.progressed_on)}", indent=0.6)


def _is_assessed_pd(timeline: ResponseTimeline) -> bool:
    """Whether the date of progression is that of an assessment with PD, and not of an earlier doubtful scan."""
    days = [each.date for each in timeline.assessments if each.response is Response.PD]
    return timeline.progressed_on in days


def _registration(registration: Registration, days: Days) -> Iterator[str]:
    quality = registration.quality
    measured = f", lungs {quality.surface_mm:.1f} mm apart (95 %: {quality.surface_95_mm:.1f} mm)" if quality else ""
    yield f"registration with the scan before: {registration.method}{measured}"
    if registration.reason:
        yield days.replace_dates(registration.reason)


def _conditions(comparison: Comparison, days: Days) -> Iterator[str]:
    for scan in comparison.scans:
        if scan.origin is Origin.READER:
            yield f"day {days.of(scan.date)}: outlined or corrected by a reader"
    slices = sorted({round(scan.slice_mm, 2) for scan in comparison.scans})
    if len(slices) > 1:
        yield f"slices {slices[0]:g} to {slices[-1]:g} mm thick"
    found = Counter(
        condition for lesion in comparison.lesions if lesion.change for condition in lesion.change.conditions
    )
    for condition, count in found.items():
        yield f"{condition} ({count} {'lesion' if count == 1 else 'lesions'})"
