"""Audit messages against the schema of PS3.15 A.5.1, the grammar of RFC 5424 and the codes of PS3.16."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from lxml import etree
from pydicom import Dataset, dcmread
from pydicom.filebase import DicomBytesIO
from pydicom.sr._concepts_dict import concepts
from pydicom.uid import CTImageStorage

from dicom_node.audit import codes, events
from dicom_node.audit.codes import Code
from dicom_node.audit.events import Refusal
from dicom_node.audit.message import AuditMessage, Participant, to_xml
from dicom_node.audit.queries import find_query, url_query
from dicom_node.audit.syslog import syslog_line
from dicom_node.audit.transfers import Tally, Transfer
from dicom_node.identifiers import STUDY_ROOT_FIND
from tests.fixtures.dicom_node.audit_reader import read_message, schema

NOON = 1796040000.5  # 2026-11-30T12:00:00.5Z
NODE = Participant(user_id="LUNGSPREAD", ae_title="LUNGSPREAD", address="worker-7")
PACS = Participant(user_id="pacs", ae_title="ORTHANC", address="10.0.0.7")
TRANSFER = Transfer(source=PACS, destination=NODE, study_uid="1.2.3")


def tally(**counts: Counter[str]) -> Tally:
    return Tally(last_at=NOON, quiet_since=0, patient_id="SECRET-ID", **counts)


def study_query() -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel, query.PatientID, query.StudyInstanceUID = "STUDY", "SECRET-ID", "1.2.3"
    return query


def all_messages() -> Iterator[AuditMessage]:
    yield events.application_activity(NODE, codes.APPLICATION_START, NOON)
    yield events.application_activity(NODE, codes.APPLICATION_STOP, NOON)
    yield events.begin_transferring(TRANSFER, tally())
    both = tally(transferred=Counter({CTImageStorage: 300}), refused=Counter({"status 0xC000": 2}))
    yield from events.instances_transferred(TRANSFER, both, is_kept=True)
    yield events.query(NODE, PACS, find_query(study_query(), STUDY_ROOT_FIND, with_values=True), "", NOON)
    yield events.query(PACS, NODE, url_query("/studies", [("PatientID", "1")], with_values=True), "refused", NOON)
    yield events.study_deleted(NODE, "1.2.3", "retention", "SECRET-ID", NOON)
    yield from (events.refused(kind, PACS, NODE, "no peer has that token", NOON) for kind in Refusal)
    yield events.logged_in(PACS, NODE, NOON)


MESSAGES = list(all_messages())


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.event.meaning)
def test_a_message_is_valid_by_the_schema_of_the_standard(message: AuditMessage) -> None:
    received = read_message(syslog_line(message, "LUNGSPREAD", "Ward 7").rstrip(b"\n"))

    assert received.event == message.event.meaning
    assert received.text("//@AuditSourceID") == "LUNGSPREAD"
    assert received.text("//@AuditEnterpriseSiteID") == "Ward 7"
    assert received.text("//@EventDateTime") == "2026-11-30T12:00:00.500Z"


@pytest.mark.parametrize("damage", ["ActiveParticipant", "EventID", "AuditSourceIdentification"])
def test_the_schema_refuses_a_message_without_what_it_needs(damage: str) -> None:
    root = etree.fromstring(to_xml(MESSAGES[0], "LUNGSPREAD").encode("ascii"))
    for element in root.iter(damage):
        parent = element.getparent()
        assert parent is not None
        parent.remove(element)

    assert not schema().validate(root)


def test_the_codes_are_those_of_ps3_16() -> None:
    dcm: Any = concepts["DCM"]  # as pydicom has it from PS3.16
    published = {code: meaning for named in dcm.values() for code, (meaning, _) in named.items()}
    ours = [code for code in vars(codes).values() if isinstance(code, Code) and code.system == "DCM"]

    assert len(ours) > 15
    assert {code.value: code.meaning for code in ours} == {code.value: published[code.value] for code in ours}


@pytest.mark.parametrize(("failed", "priority"), [(False, 85), (True, 84)])
def test_a_message_has_the_header_that_ihe_prescribes(failed: bool, priority: int) -> None:
    asked = find_query(study_query(), STUDY_ROOT_FIND, with_values=False)
    message = events.query(NODE, PACS, asked, "no answer" if failed else "", NOON)

    line = syslog_line(message, "LUNGSPREAD", "")

    header = read_message(line.rstrip(b"\n")).header
    assert line.startswith(f"<{priority}>1 2026-11-30T12:00:00.500Z ".encode())
    assert (header["MSGID"], header["APP_NAME"]) == ("IHE+RFC-3881", "lungspread")


def test_what_was_kept_and_what_was_refused_are_two_messages() -> None:
    both = tally(transferred=Counter({CTImageStorage: 300}), refused=Counter({"status 0xC000": 2}))

    kept, refused = (
        read_message(syslog_line(message, "LUNGSPREAD", "").rstrip(b"\n"))
        for message in events.instances_transferred(TRANSFER, both, is_kept=True)
    )

    assert (kept.outcome, kept.study_uid, kept.instances) == ("0", "1.2.3", {CTImageStorage: 300})
    assert kept.user("Source Role ID") == ("pacs", "10.0.0.7")
    assert kept.user("Destination Role ID") == ("LUNGSPREAD", "worker-7")
    assert (refused.outcome, refused.instances) == ("8", {})
    assert refused.text("//EventOutcomeDescription/text()") == "2 times status 0xC000"


def test_what_a_stranger_sends_stays_on_one_line_and_in_its_field() -> None:
    hostile = 'X"/><Y>\n<85>1 - - - - - - forged\0\x1b[2J\u2028é' + "A" * 1000
    message = events.refused(Refusal.NODE, Participant(user_id=hostile, address=hostile), NODE, hostile, NOON)

    line = syslog_line(message, hostile, hostile)

    assert line.count(b"\n") == 1
    assert not {*range(32), 127} & {*line[:-1]}
    read = read_message(line.rstrip(b"\n")).text("//ActiveParticipant[1]/@UserID")
    assert read.startswith('X"/><Y>?<85>1 - - - - - - forged??[2J?é')
    assert len(read) == 256


def test_a_query_names_no_patient_by_default() -> None:
    for with_values, patient_id in ((False, None), (True, "SECRET-ID")):
        asked = find_query(study_query(), STUDY_ROOT_FIND, with_values=with_values)
        xml = to_xml(events.query(NODE, PACS, asked, "", NOON), "LUNGSPREAD")
        content = base64.b64decode(etree.fromstring(xml.encode()).findtext(".//ParticipantObjectQuery") or "")
        read = dcmread(DicomBytesIO(content), force=True)
        assert (read.PatientID or None, read.StudyInstanceUID) == (patient_id, "1.2.3")

    parameters = [("PatientName", "SECRET*"), ("StudyInstanceUID", "1.2.3"), ("limit", "5")]
    assert url_query("/s", parameters, with_values=False).content == b"PatientName=&StudyInstanceUID=1.2.3&limit=5"
