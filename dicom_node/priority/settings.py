"""Settings of the priorities: rules on headers, and the hours in which less urgent jobs run."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dicom_node.header_rule import HeaderRule
from dicom_node.jobs import Priority, PriorityName, priority_named

_TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"


class PriorityRule(HeaderRule):
    """A condition on one element of the header, and the priority where it holds."""

    then: PriorityName


class PrioritySettings(BaseModel):
    """How urgent the jobs are. The first rule that holds decides, then the peer that sent the series."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[PriorityRule, ...] = (
        # PS3.3 table C.4-11; the older element has HIGH, MEDIUM and LOW.
        PriorityRule(element="RequestedProcedurePriority", matches="^STAT$", then="stat"),
        PriorityRule(element="RequestedProcedurePriority", matches="^HIGH$", then="high"),
        PriorityRule(element="StudyPriorityID", matches="^HIGH$", then="high"),
    )
    off_peak: Annotated[str, Field(pattern=rf"^({_TIME}-{_TIME})?$")] = ""
    """Local time of the machine, "20:00-06:00": less urgent jobs wait for these hours; empty: they do not wait."""
    off_peak_jobs: Literal["routine", "low"] = "low"
    """Which jobs wait: `low` or `routine` (and low)."""

    def held(self, now: float) -> frozenset[Priority]:
        """Return the priorities whose jobs wait at this time (UTC, seconds since 1970)."""
        if not self.off_peak or self._is_off_peak(time.strftime("%H:%M", time.localtime(now))):
            return frozenset()
        return frozenset(each for each in Priority if each >= priority_named(self.off_peak_jobs))

    def _is_off_peak(self, clock: str) -> bool:
        start, end = self.off_peak.split("-")
        return start <= clock < end if start <= end else clock >= start or clock < end
