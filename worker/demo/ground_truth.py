"""Compares the measured lesions of the phantom with the ground truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from worker.findings import Finding, Findings
from worker.phantom.chest import PhantomLesion

VOLUME_LIMIT = 0.10
LONG_AXIS_LIMIT_MM = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionComparison:
    """One lesion of the phantom, and the finding at its place; `found` is None if it was missed."""

    truth: PhantomLesion
    found: Finding | None
    long_axis_limit_mm: float

    @property
    def volume_error(self) -> float:
        """Measured / true - 1; infinite if the lesion was missed."""
        return math.inf if self.found is None else self.found.measurement.volume_ml / self.truth.volume_ml - 1

    @property
    def long_axis_error_mm(self) -> float:
        """Measured - true; infinite if the lesion was missed."""
        return math.inf if self.found is None else self.found.measurement.long_axis.length_mm - self.truth.long_axis_mm

    @property
    def is_within(self) -> bool:
        """Whether volume and long axis agree with the truth within 10 % and `long_axis_limit_mm`."""
        return abs(self.volume_error) <= VOLUME_LIMIT and abs(self.long_axis_error_mm) <= self.long_axis_limit_mm


def compare(findings: Findings, truth: Sequence[PhantomLesion]) -> list[LesionComparison]:
    """Pair each true lesion with the finding whose centroid is nearest, within its shortest half axis."""
    limit = max(LONG_AXIS_LIMIT_MM, *findings.volume.spacing[1:])
    return [
        LesionComparison(truth=lesion, found=_finding_in(lesion, findings), long_axis_limit_mm=limit)
        for lesion in truth
    ]


def truth_table(comparisons: Sequence[LesionComparison], found: int) -> Table:
    """Return the table of true and measured values. found: number of findings on the scan."""
    table = Table("true ml", "found ml", "error", "true mm", "found mm", "error mm", "result")
    table.title = f"true and measured volume and long axis; {found} lesions found, {len(comparisons)} exist"
    for comparison in comparisons:
        truth, found_finding = comparison.truth, comparison.found
        if found_finding is None:
            table.add_row(f"{truth.volume_ml:.2f}", "-", "", f"{truth.long_axis_mm:.1f}", "-", "", "missed")
            continue
        measured = found_finding.measurement
        table.add_row(
            f"{truth.volume_ml:.2f}",
            f"{measured.volume_ml:.2f}",
            f"{comparison.volume_error:+.1%}",
            f"{truth.long_axis_mm:.1f}",
            f"{measured.long_axis.length_mm:.1f}",
            f"{comparison.long_axis_error_mm:+.1f}",
            "ok" if comparison.is_within else "outside",
        )
    return table


def _finding_in(lesion: PhantomLesion, findings: Findings) -> Finding | None:
    near = [
        (math.dist(finding.lesion.centroid_mm, lesion.centre_mm), finding)
        for finding in findings.findings
        if math.dist(finding.lesion.centroid_mm, lesion.centre_mm) < min(lesion.half_axes_mm)
    ]
    return min(near, key=lambda pair: pair[0])[1] if near else None
