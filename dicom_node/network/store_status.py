"""The status of a received instance (PS3.4 table B.2-1), the same by C-STORE and by STOW-RS."""

from __future__ import annotations

import logging
from collections.abc import Callable

from dicom_node.errors import JournalUnavailable, SpoolFull, UnreadableInstance
from dicom_node.network.status import CANNOT_UNDERSTAND, DATA_SET_DOES_NOT_MATCH, OUT_OF_RESOURCES, SUCCESS

log = logging.getLogger(__name__)


def store(keep: Callable[[], bool], request: str) -> int:
    """Keep an instance by `InstanceReceiver.keep`, and return the status; a failure is logged.

    keep: False if the UIDs of the data set are not those that the request declares.
    request: the service and the sender, for the log.
    """
    try:
        if keep():
            return SUCCESS
    except UnreadableInstance as error:
        log.warning("%s answered 0xC000: %s", request, error)
        return CANNOT_UNDERSTAND
    except (SpoolFull, JournalUnavailable) as error:
        log.error("%s answered 0xA700: %s", request, error)  # noqa: TRY400 - no traceback needed
        return OUT_OF_RESOURCES
    except OSError as error:
        log.error("%s answered 0xA700: errno %s", request, error.errno)  # noqa: TRY400
        return OUT_OF_RESOURCES
    log.warning("%s answered 0xA900: request and data set have different UIDs", request)
    return DATA_SET_DOES_NOT_MATCH
