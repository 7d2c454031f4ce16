"""The status of a received instance (PS3.4 table B.2-1), the same by C-STORE and by STOW-RS."""

from __future__ import annotations

import logging
from collections.abc import Callable

from dicom_node.audit.message import Participant
from dicom_node.audit.trail import AuditTrail
from dicom_node.errors import InstanceRefused, JournalUnavailable, OtherPatient, SpoolFull, UnreadableInstance
from dicom_node.network.status import (
    CANNOT_UNDERSTAND,
    CHANGED_INSTANCE,
    DATA_SET_DOES_NOT_MATCH,
    OTHER_PATIENT,
    OUT_OF_RESOURCES,
    SUCCESS,
)
from dicom_node.series import Instance


def store(keep: Callable[[], Instance | None], service: str, sender: Participant, audit: AuditTrail) -> int:
    """Keep an instance by `InstanceReceiver.keep`, and return the status; both are audited, and a failure is logged.

    keep: None if the UIDs of the data set are not those that the request declares.
    """
    try:
        if (kept := keep()) is not None:
            audit.received(sender, kept)
            return SUCCESS
    except UnreadableInstance as error:
        status, level, why = CANNOT_UNDERSTAND, logging.WARNING, str(error)
    except InstanceRefused as error:
        status = OTHER_PATIENT if isinstance(error, OtherPatient) else CHANGED_INSTANCE
        level, why = logging.WARNING, str(error)
    except (SpoolFull, JournalUnavailable) as error:
        status, level, why = OUT_OF_RESOURCES, logging.ERROR, str(error)
    except OSError as error:
        status, level, why = OUT_OF_RESOURCES, logging.ERROR, f"errno {error.errno}"
    else:
        status, level, why = DATA_SET_DOES_NOT_MATCH, logging.WARNING, "request and data set have different UIDs"
    refuse(status, why, service, sender, audit, level=level)
    return status


def refuse(
    status: int, why: str, service: str, sender: Participant, audit: AuditTrail, *, level: int = logging.WARNING
) -> None:
    """Log and audit that an instance is not stored."""
    who = f"{sender.user_id} ({sender.address})"
    audit.say(sender.address, level, f"{service} from {who} answered 0x{status:04X}: {why}")
    audit.not_received(sender, f"status 0x{status:04X}")
