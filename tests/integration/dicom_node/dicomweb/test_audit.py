"""The DICOMweb server audits logins, refusals, searches, and what is stored and retrieved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from tests.fixtures.dicom_node.audit_reader import Received, read_trail
from tests.fixtures.dicom_node.dicomweb_site import READER_TOKEN, TOKEN, DicomwebSite
from tests.fixtures.dicom_node.results import ALL

WriteCt = Callable[..., list[Path]]


def of(trail: list[Received], event: str) -> list[Received]:
    return [message for message in trail if message.event == event]


def test_what_peers_do_at_the_web_server_is_audited(dicomweb: DicomwebSite, write_ct: WriteCt, tmp_path: Path) -> None:
    documents = next(iter(ALL.values()))
    dicomweb.finish_job(documents)
    study_uid = str(documents[0].StudyInstanceUID)
    reader = dicomweb.client(READER_TOKEN)

    dicomweb.client(TOKEN).store_instances([dcmread(file) for file in write_ct(2)])
    for _ in range(2):
        reader.search_for_studies(search_filters={"PatientID": "SECRET-ID", "StudyInstanceUID": study_uid})
    reader.retrieve_study(study_uid)
    dicomweb.audit.stop()

    trail = read_trail(tmp_path / "node" / "audit")
    logins = of(trail, "User Authentication")
    assert [message.text("//ActiveParticipant[1]/@UserID") for message in logins] == ["sender", "reader"]
    stored, retrieved = of(trail, "DICOM Instances Transferred")
    assert (stored.study_uid, stored.instances) == ("1.2", {CTImageStorage: 2})
    assert stored.user("Source Role ID") == ("sender", "127.0.0.1")
    assert retrieved.study_uid == study_uid
    assert sum(retrieved.instances.values()) == len(documents)
    assert retrieved.user("Destination Role ID") == ("reader", "127.0.0.1")
    assert len(of(trail, "Query")) == 2
    assert not any(message.patient_id for message in trail)
    assert b"SECRET" not in b"".join(file.read_bytes() for file in (tmp_path / "node" / "audit").iterdir())


def test_a_wrong_token_is_logged_with_its_address_and_audited(
    dicomweb: DicomwebSite, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {"Authorization": "Bearer a-wrong-token-of-nobody"}
    answers = [requests.get(f"{dicomweb.url}/studies", headers=headers, timeout=5).status_code for _ in range(8)]
    dicomweb.audit.stop()

    assert answers == [401] * 8
    lines = [line for line in caplog.messages if "answered 401" in line]
    assert lines == ["DICOMweb request from 127.0.0.1 answered 401: no peer has that token, or none was sent"] * 5
    assert "... and 3 more refusals of 127.0.0.1 in 60 s" in caplog.messages
    (*failed, _stopped) = read_trail(tmp_path / "node" / "audit")
    assert [message.outcome for message in failed] == ["4"] * 6
    assert "a-wrong-token" not in caplog.text
