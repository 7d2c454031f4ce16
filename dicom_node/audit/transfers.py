"""Counts the instances of a transfer, so that one message tells of a study and not of each instance."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from dicom_node.audit.message import Participant

QUIET_S = 10.0
"""A transfer is over when no instance of it has come for this long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Instances of one study from one application to another."""

    source: Participant
    destination: Participant
    study_uid: str
    """Empty if it is not known: of instances that could not be read."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a transfer has moved so far: numbers of instances by SOP class, and by the reason of their refusal."""

    last_at: float
    """UTC, seconds since 1970."""
    quiet_since: float
    """Monotonic, seconds."""
    patient_id: str = ""
    transferred: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def is_over(self, now: float) -> bool:
        """Whether instances have come, and none for a while; what has not begun to come may still be tried again."""
        return bool(self.transferred or self.refused) and now - self.quiet_since >= QUIET_S


class OpenTransfers:
    """The transfers that may go on; thread-safe."""

    def __init__(self) -> None:
        self._open: dict[Transfer, Tally] = {}
        self._lock = threading.Lock()

    def begin(self, transfer: Transfer, tally: Tally) -> bool:
        """Open a transfer; False if it is open already."""
        with self._lock:
            return self._open.setdefault(transfer, tally) is tally

    def count(self, transfer: Transfer, sop_class_uid: str, refusal: str, now: tuple[float, float]) -> bool:
        """Count an instance; False if the transfer is not open. now: wall time and monotonic time."""
        with self._lock:
            tally = self._open.get(transfer)
            if tally is None:
                return False
            tally.last_at, tally.quiet_since = now
            counter, key = (tally.refused, refusal) if refusal else (tally.transferred, sop_class_uid)
            counter[key] += 1
            return True

    def pop_quiet(self, now: float, *, is_end: bool = False) -> Mapping[Transfer, Tally]:
        """Close the transfers that are over (at the end, all of them), and return them. now: monotonic time."""
        with self._lock:
            over = {transfer: tally for transfer, tally in self._open.items() if is_end or tally.is_over(now)}
            for transfer in over:
                del self._open[transfer]
            return over
