"""A DICOM audit message and its XML (PS3.15 A.5.1)."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from xml.etree import ElementTree as ET

from dicom_node.audit.codes import Code

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_LONGEST_TEXT = 256
_APPLICATION_SERVER = "4"
"""PS3.15 A.5.1.2.1."""


class Action(StrEnum):
    """What was done: EventActionCode."""

    CREATE = "C"
    READ = "R"
    DELETE = "D"
    EXECUTE = "E"


class Outcome(IntEnum):
    """Whether it succeeded: EventOutcomeIndicator."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    """The action is repeated, or had no effect."""
    SERIOUS_FAILURE = 8
    """The action is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """An application that took part. user_id: the name by which log lines speak of it; address: IP or host name."""

    user_id: str
    ae_title: str = ""
    address: str = ""
    is_requestor: bool = False
    role: Code | None = None


class ObjectKind(StrEnum):
    """ParticipantObjectTypeCode and ParticipantObjectTypeCodeRole."""

    PATIENT = "1 1"
    STUDY_OR_QUERY = "2 3"
    SECURITY_RESOURCE = "2 13"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedObject:
    """What it was about. instances: their number by SOP class UID."""

    kind: ObjectKind
    id_type: Code
    object_id: str
    name: str = ""
    query: bytes | None = None
    """A query, in place of the name."""
    details: Mapping[str, str] = field(default_factory=dict)
    instances: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditMessage:
    """One event. happened_at: UTC, seconds since 1970."""

    event: Code
    action: Action
    happened_at: float
    participants: tuple[Participant, ...]
    event_type: Code | None = None
    outcome: Outcome = Outcome.SUCCESS
    outcome_description: str = ""
    objects: tuple[AuditedObject, ...] = ()


def to_xml(message: AuditMessage, source_id: str, site_id: str = "") -> str:
    """Return a message as XML on one line, in ASCII: other characters are character references."""
    root = ET.Element("AuditMessage")
    _add_event(root, message)
    for participant in message.participants:
        _add_participant(root, participant)
    source = ET.SubElement(root, "AuditSourceIdentification", AuditSourceID=plain(source_id))
    if site_id:
        source.set("AuditEnterpriseSiteID", plain(site_id))
    ET.SubElement(source, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    for each in message.objects:
        _add_object(root, each)
    encoded: bytes = ET.tostring(root, encoding="us-ascii")
    return _DECLARATION + encoded.decode("ascii")


def time_text(seconds: float) -> str:
    """Return a time (UTC, seconds since 1970) as RFC 3339 and XML Schema write it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plain(text: str) -> str:
    """Return a text on one line, of limited length: a stranger chose it, and may try to begin a new line or message."""
    return "".join(character if character.isprintable() else "?" for character in text[:_LONGEST_TEXT])


def _add_event(root: ET.Element, message: AuditMessage) -> None:
    attributes = {
        "EventActionCode": str(message.action),
        "EventDateTime": time_text(message.happened_at),
        "EventOutcomeIndicator": str(int(message.outcome)),
    }
    event = ET.SubElement(root, "EventIdentification", attributes)
    _add_code(event, "EventID", message.event)
    if message.event_type is not None:
        _add_code(event, "EventTypeCode", message.event_type)
    if message.outcome_description:
        ET.SubElement(event, "EventOutcomeDescription").text = plain(message.outcome_description)


def _add_participant(root: ET.Element, participant: Participant) -> None:
    attributes = {"UserID": plain(participant.user_id), "UserIsRequestor": str(participant.is_requestor).lower()}
    if participant.ae_title:
        attributes["AlternativeUserID"] = f"AETITLES={plain(participant.ae_title)}"  # PS3.15 A.5.2.2
    if participant.address:
        attributes["NetworkAccessPointID"] = plain(participant.address)
        attributes["NetworkAccessPointTypeCode"] = "2" if _is_ip(participant.address) else "1"
    element = ET.SubElement(root, "ActiveParticipant", attributes)
    if participant.role is not None:
        _add_code(element, "RoleIDCode", participant.role)


def _add_object(root: ET.Element, audited: AuditedObject) -> None:
    type_code, role = audited.kind.split()
    attributes = {
        "ParticipantObjectID": plain(audited.object_id),
        "ParticipantObjectTypeCode": type_code,
        "ParticipantObjectTypeCodeRole": role,
    }
    element = ET.SubElement(root, "ParticipantObjectIdentification", attributes)
    _add_code(element, "ParticipantObjectIDTypeCode", audited.id_type)
    # The schema wants one of the two.
    if audited.query is None:
        ET.SubElement(element, "ParticipantObjectName").text = plain(audited.name or audited.id_type.meaning)
    else:
        ET.SubElement(element, "ParticipantObjectQuery").text = _base64(audited.query)
    for name, value in audited.details.items():
        ET.SubElement(element, "ParticipantObjectDetail", type=name, value=_base64(plain(value).encode()))
    if audited.instances:
        description = ET.SubElement(element, "ParticipantObjectDescription")
        for sop_class, count in sorted(audited.instances.items()):
            uid = {"UID": plain(sop_class)} if sop_class else {}
            ET.SubElement(description, "SOPClass", {**uid, "NumberOfInstances": str(count)})


def _add_code(parent: ET.Element, name: str, code: Code) -> None:
    attributes = {"csd-code": code.value, "codeSystemName": code.system, "originalText": code.meaning}
    ET.SubElement(parent, name, attributes)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
