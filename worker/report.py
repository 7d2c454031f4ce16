"""The report of one series: the input of every encoder."""

from __future__ import annotations

from dataclasses import dataclass

from worker.findings import Findings
from worker.follow_up.comparison import Comparison


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The findings of one series, and their comparison with the patient's prior scans.

    The comparison's lesions refer to the findings by tracking UID; without a prior it states why there is none.
    replaces: key of the job of the same series whose report this one takes the place of.
    """

    findings: Findings
    comparison: Comparison
    replaces: str | None = None
