"""Tells by watching which leases are no longer renewed: the clocks of node and workers need not agree, and may jump."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dicom_node.journal.jobs import RunningJob


@dataclass(slots=True, kw_only=True)
class LeaseWatch:
    """Remembers since when each lease is unchanged. lease_s: a lease has ended when it is unchanged for this long."""

    lease_s: float
    _unchanged: dict[RunningJob, float] = field(default_factory=dict)
    _looked_at: float = float("-inf")

    def ended(self, running: Sequence[RunningJob], moment: float) -> list[RunningJob]:
        """Return the jobs whose lease has ended. running: all running jobs. moment: seconds, monotonic.

        After a gap of half a lease, as when the journal did not respond, workers may have been unable to renew theirs:
        each gets its whole time again.
        """
        if moment - self._looked_at > self.lease_s / 2:
            self._unchanged.clear()
        self._looked_at = moment
        self._unchanged = {job: self._unchanged.get(job, moment) for job in running}
        return [job for job, since in self._unchanged.items() if moment - since > self.lease_s]
