"""UIDs, status codes, socket options and library log levels, for both network roles."""

from __future__ import annotations

import logging
import socket
import warnings

import pydicom.config
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

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

COMPRESSED = (
    JPEGLosslessSV1, JPEGLossless, JPEGLSLossless, JPEGLSNearLossless, JPEG2000Lossless, JPEG2000, RLELossless,
    HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K, JPEGExtended12Bit,
)  # fmt: skip
"""Compressed transfer syntaxes that are accepted: those that the worker decodes."""
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
            connected.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # already closed


def silence_libraries() -> None:
    """Disable logs and warnings of the libraries: they quote names, dates and URLs with patient IDs."""
    pydicom.config.debug(debug_on=False)  # pydicom sets its level on first use, so ours is set after it
    # Without a warning, a check of each value that is read has no effect, and takes a tenth of the time to receive.
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    for name in ("pydicom", "pynetdicom", "dicomweb_client", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        warnings.filterwarnings("ignore", module=name)
