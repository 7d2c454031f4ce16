"""Status codes, socket options and library log levels, for both network roles."""

from __future__ import annotations

import logging
import socket
import warnings
from collections.abc import Mapping

import pydicom.config

from dicom_node.bounded_reading import limit_inflating
from dicom_node.dicom_file import accept_nul_in_character_sets

# PS3.7 Annex C, and PS3.4 table B.2-1 for C-STORE.
SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
INVALID_ARGUMENT = 0x0115
SOP_CLASS_NOT_SUPPORTED = 0x0122
NOT_AUTHORISED = 0x0124
DUPLICATE_TRANSACTION = 0x0131
MISTYPED_ARGUMENT = 0x0212
RESOURCE_LIMITATION = 0x0213
OUT_OF_RESOURCES = 0xA700
DATA_SET_DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000
OTHER_PATIENT, CHANGED_INSTANCE = 0xC101, 0xC102
"""PS3.4 table B.2-1 leaves the last three digits to us."""
TRANSFER_SYNTAX_NOT_SUPPORTED = 0xC122
"""PS3.18 table I.2-2; a Failure Reason of STOW-RS alone."""

ANSWERS: Mapping[str, Mapping[int, str]] = {
    "C-ECHO": {SUCCESS: "always"},
    "C-STORE": {
        SUCCESS: "the instance's file and the file's name are on disk",
        OUT_OF_RESOURCES: "less disk space is free than `node.min_free_mb`, the disk fails, or the journal's database "
        "does not respond",
        DATA_SET_DOES_NOT_MATCH: "command or presentation context and data set have different SOP UIDs",
        CANNOT_UNDERSTAND: "the data set cannot be read, is truncated, lacks a UID, or exceeds a limit of elements or "
        "inflated bytes",
        OTHER_PATIENT: "an instance of another patient was stored in the same series before",
        CHANGED_INSTANCE: 'the instance is stored with other content, and `node.changed_instances` is "refuse"',
    },
    "N-ACTION": {
        SUCCESS: "the request is recorded; the report follows on an association of its own",
        PROCESSING_FAILURE: "the journal's database does not respond",
        NOT_AUTHORISED: "the peer does not have `may_send`",
        DUPLICATE_TRANSACTION: "the Transaction UID was used before",
        MISTYPED_ARGUMENT: "an attribute is missing, or a UID is not valid",
        RESOURCE_LIMITATION: "the request has too many references, or too many requests of the peer wait for reports",
    },
    "N-EVENT-REPORT": {
        SUCCESS: "the report is recorded, or was before",
        PROCESSING_FAILURE: "the journal's database does not respond",
        INVALID_ARGUMENT: "no transaction with this UID was opened with the peer",
        MISTYPED_ARGUMENT: "an attribute is missing",
    },
    "STOW-RS, Failure Reason": {
        SOP_CLASS_NOT_SUPPORTED: "the SOP class is not accepted from this peer",
        OUT_OF_RESOURCES: "as by C-STORE, or a part of the request is longer than 1 GiB",
        DATA_SET_DOES_NOT_MATCH: "file meta information and data set have different SOP UIDs, or the study is not that "
        "of the URL",
        CANNOT_UNDERSTAND: "the part cannot be read, is truncated, lacks a UID, or exceeds a limit",
        OTHER_PATIENT: "as by C-STORE",
        CHANGED_INSTANCE: "as by C-STORE",
        TRANSFER_SYNTAX_NOT_SUPPORTED: "the transfer syntax is not accepted",
    },
}
"""The statuses that the node answers, and when, by operation."""
STORED = frozenset({SUCCESS, 0xB000, 0xB006, 0xB007})
"""PS3.4 table B.2-1: a peer stored it; the warnings mean that elements were coerced or did not match."""
RETRYABLE = frozenset({*range(0xA700, 0xA800), PROCESSING_FAILURE, RESOURCE_LIMITATION})
"""A peer cannot store the document now; any other failure is final."""
RETRIEVED = frozenset({SUCCESS, 0xB000})
"""PS3.4 tables C.4-2 and C.4-3; 0xB000: some sub-operations failed."""

MAXIMUM_PDU_LENGTH = 131072
"""The maximum PDU length that we announce, in bytes: the limit of dcmtk."""


def configure_socket(connected: socket.socket, timeout_s: float) -> None:
    """Set TCP_NODELAY, keepalive and a timeout on a connected socket."""
    # Without TCP_NODELAY each small C-STORE response waits 40 ms for a delayed acknowledgement.
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connected.settimeout(timeout_s)


def abort(connected: socket.socket | None) -> None:
    """Shut down a connection at once, from any thread; a thread that waits for it continues."""
    if connected is not None:
        try:
            socket.socket.shutdown(connected, socket.SHUT_RDWR)  # that of TLS would wait for the other thread
        except OSError:
            return  # already closed


def configure_libraries() -> None:
    """Disable logs and warnings of the libraries: they quote names, dates and URLs with patient IDs.

    pydicom reads a damaged Specific Character Set, too, and inflates no more than a limit.
    """
    accept_nul_in_character_sets()
    limit_inflating()
    pydicom.config.debug(debug_on=False)  # pydicom sets its level on first use, so ours is set after it
    # Without a warning, a check of each value that is read has no effect, and takes a tenth of the time to receive.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    for name in ("pydicom", "pynetdicom", "urllib3", "uvicorn", "python_multipart"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        warnings.filterwarnings("ignore", module=name)
