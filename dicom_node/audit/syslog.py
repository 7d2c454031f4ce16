"""The syslog message of an audit message (RFC 5424, as IHE ITI TF-2 3.20.4.1 and PS3.15 A.6 prescribe)."""

from __future__ import annotations

import os
import re
import socket

from dicom_node.audit.message import AuditMessage, Outcome, time_text, to_xml

_SECURITY, _NOTICE, _WARNING = 10, 5, 4
"""The facility of security messages, and the severities of events that succeeded and failed."""
_MESSAGE_ID = "IHE+RFC-3881"
"""IHE ITI TF-2 3.20.4.1.2: shall be this; PS3.15 A.6 leaves it open."""
_APPLICATION = "lungspread"
_BOM = b"\xef\xbb\xbf"
"""RFC 5424 6.4: UTF-8 begins with it. The XML is ASCII, so that a receiver that ignores it reads the same."""


def syslog_line(message: AuditMessage, source_id: str, site_id: str) -> bytes:
    """Return the message as one line with its end; without the end it is what is sent by syslog."""
    severity = _NOTICE if message.outcome is Outcome.SUCCESS else _WARNING
    header = (
        f"<{_SECURITY * 8 + severity}>1 {time_text(message.happened_at)} {host_name()} {_APPLICATION} {os.getpid()} "
        f"{_MESSAGE_ID} - "
    )
    return header.encode("ascii") + _BOM + to_xml(message, source_id, site_id).encode("ascii") + b"\n"


def host_name() -> str:
    """Return this machine's name as a HOSTNAME of RFC 5424: printable ASCII."""
    return re.sub(r"[^!-~]", "", socket.gethostname())[:255] or "-"
