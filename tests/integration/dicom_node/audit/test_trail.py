"""The audit trail of a running node: what happens at the network is in its files, and of many refusals the first."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from pydicom import Dataset
from pydicom.uid import CTImageStorage

from dicom_node.audit.events import Refusal
from dicom_node.audit.message import Participant
from dicom_node.audit.settings import AuditSettings
from dicom_node.audit.trail import AuditTrail
from dicom_node.errors import PacsUnavailable
from dicom_node.jobs import JobState
from dicom_node.journal.journal import Journal
from dicom_node.network.scu import PacsClient
from dicom_node.node import Node
from dicom_node.parts import NodeConfiguration
from dicom_node.selection.rules import SelectionSettings
from dicom_node.settings import DicomwebSettings, JournalSettings, NodeSettings, Peer, QueueSettings
from dicom_node.storage.spool import Spool
from tests.conftest import StartScp
from tests.fixtures.dicom_node.audit_reader import Received, read_trail
from tests.fixtures.dicom_node.finished_job import finish
from tests.fixtures.dicom_node.small_network import SR, Scan
from tests.fixtures.ports import free_ports
from tests.fixtures.waiting import wait_until
from worker.demo.pacs import SmallPacs

WriteCt = Callable[..., list[Path]]
MakeCt = Callable[..., Dataset]
TOKEN = "token-of-the-archive"
PACS = Participant(user_id="pacs", ae_title="ORTHANC", address="10.0.0.7")


@contextlib.contextmanager
def a_node(folder: Path, pacs: SmallPacs, **audit: object) -> Iterator[tuple[Node, Journal, NodeConfiguration]]:
    port, web_port = free_ports(2)
    peer = Peer.model_validate(
        {
            "name": "pacs",
            "ae_title": pacs.ae_title,
            "host": pacs.host,
            "port": pacs.port,
            "may_send": True,
            "send_results": True,
            "query_priors": True,
            "retrieve": "get",
            "dicomweb_token": TOKEN,
        }
    )
    node = NodeSettings(
        ae_title="LUNGNODE", port=port, data_dir=folder, min_free_mb=0, quiet_period_s=0.2, connect_timeout_s=20.0
    )
    configuration = NodeConfiguration(
        node=node,
        peers=[peer],
        queue=QueueSettings(url=f"redis+socket://{folder}/redis/redis.sock"),
        journal=JournalSettings(),
        selection=SelectionSettings(completion_limit_s=0),
        config_hash="config",
        dicomweb=DicomwebSettings(enabled=True, port=web_port),
        audit=AuditSettings.model_validate(audit),
    )
    with Journal(JournalSettings().url_in(folder)) as journal, Node(configuration, journal) as running:
        yield running, journal, configuration


def send(configuration: NodeConfiguration, files: list[Path], calling: str) -> None:
    outcomes = client(configuration.node.port, calling).store(files)
    assert [outcome.error for outcome in outcomes] == [None] * len(files)


def client(port: int, calling: str) -> PacsClient:
    node = Peer(name="node", ae_title="LUNGNODE", host="127.0.0.1", port=port)
    return PacsClient(node, NodeSettings(ae_title=calling))


def of(trail: list[Received], event: str) -> list[Received]:
    return [message for message in trail if message.event == event]


def test_receiving_asking_fetching_delivering_and_refusing_are_audited(tmp_path: Path) -> None:
    scan, prior = Scan(date="20260703"), Scan(date="20250110")
    files = [tmp_path / f"{number}.dcm" for number in range(scan.slices)]
    for image, file in zip(scan.images(), files, strict=True):
        image.save_as(file, enforce_file_format=True)
    with SmallPacs(folder=tmp_path / "pacs") as pacs:
        for number, image in enumerate(prior.images()):
            image.save_as(tmp_path / "prior.dcm", enforce_file_format=True)
            pacs.archive.add(prior.uids[number], (tmp_path / "prior.dcm").read_bytes())
        with a_node(tmp_path / "node", pacs) as (node, journal, configuration):
            send(configuration, files, pacs.ae_title)
            for date in ("20250110", "20260703"):  # the prior is analysed first
                wait_until(lambda: journal.jobs.find([JobState.QUEUED]), 60, "a job")
                record = journal.jobs.find([JobState.QUEUED])[0]
                assert date in record.job.series_uid
                document = scan.result(SR, f"2.25.{date}", "LungSpread")
                finish(journal, Spool(configuration.node.data_dir), record.job.job_key, [document])
            wait_until(lambda: pacs.stored(SR), 60, "the report")
            with pytest.raises(PacsUnavailable, match="rejected the association"):
                client(node.port, "STRANGER").echo()
            url = f"http://127.0.0.1:{configuration.dicomweb.port}/dicom-web/studies?PatientID=SECRET-ID"
            codes = [requests.get(url, headers=headers, timeout=5).status_code for headers in HEADERS]
            assert codes == [401, 401, 403]
    trail = read_trail(tmp_path / "node" / "audit")

    started, *_, stopped = trail
    assert started.text("//EventTypeCode/@originalText") == "Application Start"
    assert stopped.text("//EventTypeCode/@originalText") == "Application Stop"
    begun = [message.user("Source Role ID")[0] for message in of(trail, "Begin Transferring DICOM Instances")]
    assert set(begun) == {pacs.ae_title, "LUNGNODE"}
    # A machine that is busy for ten seconds makes two messages of one transfer.
    *received, fetched, delivered = sorted(of(trail, "DICOM Instances Transferred"), key=_order)
    assert {message.study_uid for message in received} == {scan.study_uid}
    assert sum(message.instances[CTImageStorage] for message in received) == scan.slices
    assert {message.user("Source Role ID") for message in received} == {(pacs.ae_title, "127.0.0.1")}
    assert (fetched.study_uid, fetched.text("//@NumberOfInstances")) == (prior.study_uid, str(prior.slices))
    assert (delivered.study_uid, delivered.user("Destination Role ID")) == (scan.study_uid, ("pacs", "127.0.0.1"))
    assert {message.outcome for message in (*received, fetched, delivered)} == {"0"}
    assert len(of(trail, "Query")) >= 2
    (stranger,) = (alert for alert in of(trail, "Security Alert") if "STRANGER" in _description(alert))
    assert stranger.text("//EventTypeCode/@originalText") == "Node Authentication"
    assert stranger.text("//ActiveParticipant[1]/@NetworkAccessPointID") == "127.0.0.1"
    assert [message.outcome for message in of(trail, "User Authentication")] == ["4", "4"]
    (forbidden,) = (alert for alert in of(trail, "Security Alert") if alert is not stranger)
    assert forbidden.text("//EventTypeCode/@originalText") == "Use of Restricted Function"
    files_of_trail = b"".join(file.read_bytes() for file in (tmp_path / "node" / "audit").iterdir())
    assert b"SECRET" not in files_of_trail
    assert not any(message.patient_id for message in trail)


HEADERS: tuple[dict[str, str], ...] = (
    {},
    {"Authorization": "Bearer a-wrong-token-of-nobody"},
    {"Authorization": f"Bearer {TOKEN}"},
)


def _order(message: Received) -> int:
    roles = [message.user(role)[0] for role in ("Source Role ID", "Destination Role ID")]
    return [["SMALLPACS", "LUNGNODE"], ["pacs", "LUNGNODE"], ["LUNGNODE", "pacs"]].index(roles)


def _description(message: Received) -> str:
    return message.text("//EventOutcomeDescription/text()")


def test_messages_name_the_patient_where_that_is_configured(tmp_path: Path, make_ct: MakeCt) -> None:
    trail = AuditTrail(AuditSettings(patient_ids=True), NodeSettings(data_dir=tmp_path))
    ct = make_ct(1)
    ct.PatientID = "ID-7"
    ct.save_as(tmp_path / "1.dcm", enforce_file_format=True)

    trail.sending(PACS, "1.2", tmp_path / "1.dcm")
    trail.sent(PACS, "1.2", CTImageStorage)
    trail.deleted("1.2", "lungspread erase", "ID-7")
    trail.stop()

    assert [(message.event, message.patient_id) for message in read_trail(tmp_path / "audit")] == [
        ("Begin Transferring DICOM Instances", "ID-7"),
        ("DICOM Study Deleted", "ID-7"),
        ("DICOM Instances Transferred", "ID-7"),
        ("Application Activity", ""),
    ]


def test_a_deletion_names_the_study_and_why(tmp_path: Path) -> None:
    trail = AuditTrail(AuditSettings(), NodeSettings(data_dir=tmp_path))

    trail.deleted("1.2.3", "retention", "ID-7")
    trail.close()

    (deleted,) = read_trail(tmp_path / "audit")
    assert (deleted.event, deleted.study_uid, deleted.patient_id) == ("DICOM Study Deleted", "1.2.3", "")
    assert deleted.text("//@EventActionCode") == "D"
    assert _description(deleted) == "retention"


def test_a_thousand_refusals_are_a_few_lines_in_log_and_audit_trail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trail = AuditTrail(AuditSettings(), NodeSettings(data_dir=tmp_path))
    stranger = Participant(user_id="STRANGER", address="10.0.0.9")
    for _ in range(1000):
        trail.refused(Refusal.NODE, stranger, "association from 10.0.0.9 rejected: no peer has its AE title")
        trail.say("10.0.0.9", logging.WARNING, "connection from 10.0.0.9 ended without an association")
    trail.stop()

    alerts = of(read_trail(tmp_path / "audit"), "Security Alert")
    assert len(alerts) == 6
    assert _description(alerts[-1]) == "... and 995 more refusals of 10.0.0.9 in 60 s"
    assert Counter(caplog.messages) == {
        "association from 10.0.0.9 rejected: no peer has its AE title": 5,
        "connection from 10.0.0.9 ended without an association": 5,
        "... and 995 more refusals of 10.0.0.9 in 60 s": 1,
        "... and 995 more lines about 10.0.0.9 in 60 s": 1,
    }


def test_without_an_audit_trail_nothing_is_written_and_lines_are_limited(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trail = AuditTrail(AuditSettings(enabled=False), NodeSettings(data_dir=tmp_path))
    trail.start()
    for _ in range(9):
        trail.refused(Refusal.NODE, PACS, "rejected")
    trail.step()
    trail.stop()

    assert list(tmp_path.iterdir()) == []
    assert len(caplog.messages) == 6


def test_one_message_tells_of_a_transfer_on_many_associations(
    start_scp: StartScp, sender: Peer, write_ct: WriteCt, tmp_path: Path
) -> None:
    trail = AuditTrail(AuditSettings(), NodeSettings(data_dir=tmp_path))
    scp = start_scp(sender, audit=trail)
    for file in write_ct(5):
        list(client(scp.port, "SENDER").store([file]))
    trail.stop()

    (transferred,) = of(read_trail(tmp_path / "audit"), "DICOM Instances Transferred")
    assert transferred.instances == {CTImageStorage: 5}


def test_a_refused_instance_is_a_failed_transfer(tmp_path: Path) -> None:
    trail = AuditTrail(AuditSettings(), NodeSettings(data_dir=tmp_path))
    for _ in range(3):
        trail.not_received(PACS, "status 0xC000")
    trail.stop()

    (refused,) = of(read_trail(tmp_path / "audit"), "DICOM Instances Transferred")
    assert (refused.outcome, _description(refused)) == ("8", "3 times status 0xC000")
