"""Log lines and audit messages of associations: a line for each that opens or ends, both for each that is refused."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from dicom_node.audit.events import Refusal
from dicom_node.audit.message import Participant
from dicom_node.audit.trail import AuditTrail
from dicom_node.network.association_request import Requestor, Tally

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationLog:
    """Writes the lines; of an address that is refused again and again the trail counts the refusals instead."""

    audit: AuditTrail

    def on_accepted(self, requestor: Requestor) -> None:
        """Log who is connected, and how."""
        log.info("association of %s accepted", requestor)

    def on_ended(self, requestor: Requestor, tally: Tally) -> None:
        """Log what happened in the association."""
        log.log(
            logging.INFO if tally.is_released else logging.WARNING,
            "association of %s %s: %d instances stored, %d refused, %.1f s",
            requestor,
            "was released" if tally.is_released else "was aborted",
            tally.stored,
            tally.refused,
            tally.seconds,
        )

    def on_refused(self, requestor: Requestor, why: str) -> None:
        """Log and audit that a connection or an association is refused."""
        title = f" ({requestor.ae_title!r})" if requestor.ae_title else ""
        by = Participant(
            user_id=requestor.ae_title or "unknown", ae_title=requestor.ae_title, address=requestor.address
        )
        self.audit.refused(Refusal.NODE, by, f"connection from {requestor.address}{title} {why}")
